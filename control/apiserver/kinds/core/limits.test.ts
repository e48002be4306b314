import { expect, test } from "bun:test";
import type { LimitRange } from "../../../../api/types.ts";
import { limitRangeStrategy } from "./limits.ts";

test("a resource called as what every object has is refused by name, not looked up where it is not", () => {
  const limits = [{ type: "Container", default: JSON.parse('{"constructor":"1"}') as Record<string, string>, min: { cpu: "1" } }];
  const errors = limitRangeStrategy.validate?.({ metadata: { name: "l" }, spec: { limits } } as LimitRange, {} as never) ?? [];
  expect(errors.map(({ field }) => field)).toContain("spec.limits[0].default[constructor]");
});
