import { describe, expect, test } from "bun:test";
import { addressAfter, cidrContains, cidrsOverlap, formatAddress, formatCidr, lastAddress, networkAddress, parseAddress, parseCidr, type Address, type Cidr } from "./cidr.ts";

const address = (text: string): Address => parseAddress(text) as Address;
const cidr = (text: string): Cidr => parseCidr(text) as Cidr;

describe("addresses", () => {
  test.each(["10.244.0.1", "255.255.255.255", "0.0.0.0", "::", "::1", "fd00::1", "2001:db8:0:1:1:1:1:1", "fe80::1:0:0:1"])("%s survives a round trip", (text) => {
    expect(formatAddress(address(text))).toBe(text);
  });

  test("the longest run of zero groups is the one that is shortened", () => {
    expect(formatAddress(address("2001:0:0:1:0:0:0:1"))).toBe("2001:0:0:1::1");
    expect(formatAddress(address("::ffff:10.0.0.1"))).toBe("::ffff:a00:1");
  });

  test.each(["", "10.0.0", "10.0.0.256", "fe80::1%eth0", "pod", "10.0.0.1/24"])("%p is not an address", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});

describe("ranges", () => {
  test("host bits are kept until the network is asked for", () => {
    expect(formatCidr(cidr("10.0.1.5/24"))).toBe("10.0.1.5/24");
    expect(formatAddress(networkAddress(cidr("10.0.1.5/24")))).toBe("10.0.1.0");
    expect(formatAddress(lastAddress(cidr("10.0.1.5/24")))).toBe("10.0.1.255");
    expect(formatAddress(lastAddress(cidr("fd00::/64")))).toBe("fd00::ffff:ffff:ffff:ffff");
  });

  test("an address outside, or of the other family, is not contained", () => {
    expect(cidrContains(cidr("10.0.1.0/24"), address("10.0.1.255"))).toBe(true);
    expect(cidrContains(cidr("10.0.1.0/24"), address("10.0.2.0"))).toBe(false);
    expect(cidrContains(cidr("::/0"), address("10.0.1.1"))).toBe(false);
  });

  test("ranges overlap when one holds the other", () => {
    expect(cidrsOverlap(cidr("10.0.0.0/8"), cidr("10.244.1.0/24"))).toBe(true);
    expect(cidrsOverlap(cidr("10.244.1.0/24"), cidr("10.0.0.0/8"))).toBe(true);
    expect(cidrsOverlap(cidr("10.96.0.0/16"), cidr("10.244.0.0/16"))).toBe(false);
  });

  test("counting crosses octets", () => {
    expect(formatAddress(addressAfter(address("10.0.0.255")))).toBe("10.0.1.0");
  });

  test.each(["10.0.0.0", "10.0.0.0/33", "10.0.0.0/x", "/24", "fd00::/129"])("%p is not a range", (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });
});
