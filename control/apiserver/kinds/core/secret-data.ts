// Sizes and contents of base64 data without decoding more than needed.

/** How many bytes a base64 text stands for. */
export function base64Length(text: string | undefined): number {
  if (!text) return 0;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return Math.floor((text.length * 3) / 4) - padding;
}

/** Whether a base64 text holds a JSON object. */
export function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64").toString());
    return value === null || (typeof value === "object" && !Array.isArray(value));
  } catch {
    return false;
  }
}
