import { describe, expect, test } from "bun:test";
import { addQuantities, canonicalQuantity, compareQuantities, formatQuantity, milliValue, parseQuantity, quantityOf, quantityOfMilli, subtractQuantities, wholeValue } from "./quantity.ts";

describe("a quantity comes back in canonical form", () => {
  const cases: [string, string][] = [
    ["0", "0"], ["0m", "0"], ["100m", "100m"], ["1000m", "1"], ["1.5", "1500m"], ["0.5", "500m"], [".5", "500m"], ["1024Mi", "1Gi"], ["1536Mi", "1536Mi"],
    ["1.5Gi", "1536Mi"], ["1000k", "1M"], ["128Mi", "128Mi"], ["0.5Ki", "512"], ["1Ki", "1Ki"], ["1e3", "1e3"], ["12e6", "12e6"], ["100e2", "10e3"],
    ["100000", "100k"], ["1048576", "1048576"], ["-1.5", "-1500m"], ["0.1n", "1n"], ["1.1Ki", "1126400m"], ["100Ti", "100Ti"], ["9E", "9E"], ["007", "007"], ["5.Gi", "5.Gi"],
    ["9223372036854775807", "9223372036854775807"], ["10Ei", "9223372036854775807"], ["1e-3", "1e-3"], ["0.0001", "100u"], ["2.50", "2500m"],
  ];
  for (const [text, wanted] of cases) test(`${text} is ${wanted}`, () => expect(canonicalQuantity(text)).toBe(wanted));
});

test("what is no quantity is refused in upstream's words", () => {
  for (const text of ["", "abc", "1 Gi", "1.2.3"]) expect(() => parseQuantity(text)).toThrow("quantities must match the regular expression");
  for (const text of ["1mm", "1ki", "1e", "1e99999"]) expect(() => parseQuantity(text)).toThrow("unable to parse quantity's suffix");
});

test("amounts are added, subtracted and compared exactly across formats", () => {
  expect(formatQuantity(addQuantities(parseQuantity("100m"), parseQuantity("0.9")))).toBe("1");
  expect(formatQuantity(addQuantities(parseQuantity("0"), parseQuantity("1Gi")))).toBe("1Gi");
  expect(formatQuantity(subtractQuantities(parseQuantity("1Gi"), parseQuantity("512Mi")))).toBe("512Mi");
  expect(compareQuantities(parseQuantity("1Ki"), parseQuantity("1024"))).toBe(0);
  expect(compareQuantities(parseQuantity("1k"), parseQuantity("1Ki"))).toBe(-1);
});

test("thousandths and whole amounts round away from zero", () => {
  expect(milliValue(parseQuantity("0.0001"))).toBe(1);
  expect(milliValue(parseQuantity("250m"))).toBe(250);
  expect(wholeValue(parseQuantity("1100m"))).toBe(2);
  expect(wholeValue(parseQuantity("-1100m"))).toBe(-2);
  expect(formatQuantity(quantityOf(2 ** 30, "BinarySI"))).toBe("1Gi");
  expect(formatQuantity(quantityOfMilli(1_500))).toBe("1500m");
});
