// How long the client certificates people come with are still good for, under upstream's name.
// Counted on every request, so it is a few comparisons and nothing else.

/** Upper bounds in seconds, as upstream's. */
const BOUNDS = [0, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 345_600, 604_800, 2_592_000, 7_776_000, 15_552_000, 31_104_000];
const NAME = "apiserver_client_certificate_expiration_seconds";

/** A histogram of remaining lifetimes. */
export class ClientCertificateExpirations {
  readonly #counts = new Float64Array(BOUNDS.length + 1);
  #sum = 0;

  observe(seconds: number): void {
    let index = 0;
    while (index < BOUNDS.length && seconds > (BOUNDS[index] as number)) index++;
    this.#counts[index]! += 1;
    this.#sum += seconds;
  }

  /** In Prometheus' text form. */
  text(): string {
    let below = 0;
    const buckets = [...BOUNDS.map(String), "+Inf"].map((bound, index) => `${NAME}_bucket{le="${bound}"} ${(below += this.#counts[index] ?? 0)}`);
    return [`# HELP ${NAME} [ALPHA] Distribution of the remaining lifetime on the certificate used to authenticate a request.`, `# TYPE ${NAME} histogram`, ...buckets, `${NAME}_sum ${this.#sum}`, `${NAME}_count ${below}`].join("\n");
  }
}
