// The answer to a request there is no room for.

/** No room for this request now; the client is asked to come back after so many seconds. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(readonly retryAfterSeconds: number) {
    super("Too many requests, please try again later.");
  }
}
