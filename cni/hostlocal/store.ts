// Which address belongs to which container, as one small file per address.
// The layout is that of the reference host-local plugin, so that either can take over from the other.
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatAddress, parseAddress, type Address } from "../../lib/cidr.ts";
import { withFileLock } from "./lock.ts";

/** Who holds an address. */
export interface Owner {
  readonly containerId: string;
  readonly ifName: string;
}

export interface Reservation extends Owner {
  readonly address: Address;
}

const LAST_RESERVED = "last_reserved_ip.";

/** The reservations of one network below a data directory. Every method must run inside `locked`. */
export class AddressStore {
  readonly #dir: string;

  constructor(dataDir: string, network: string) {
    this.#dir = join(dataDir, network);
    mkdirSync(this.#dir, { recursive: true, mode: 0o755 });
  }

  /** Runs `body` with no other process, plugin or agent, in the same store. */
  locked<T>(body: () => T): T {
    return withFileLock(join(this.#dir, "lock"), body);
  }

  /** Takes an address for an owner; false when somebody has it. A crash leaves it taken with its owner named, or free. */
  reserve(address: Address, owner: Owner): boolean {
    // Written aside and linked: the entry appears whole or not at all, and never replaces another's.
    const temporary = join(this.#dir, `.new-${process.pid}`);
    writeFileSync(temporary, `${owner.containerId}\r\n${owner.ifName}`);
    try {
      linkSync(temporary, this.#path(address));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** Frees an address; a free one stays free. */
  release(address: Address): void {
    rmSync(this.#path(address), { force: true });
  }

  /** Every taken address. */
  list(): Reservation[] {
    const reservations: Reservation[] = [];
    for (const name of readdirSync(this.#dir)) {
      const address = parseAddress(name.replaceAll("_", ":"));
      if (!address) continue;
      const [containerId = "", ifName = "eth0"] = readFileSync(join(this.#dir, name), "utf8").trim().split(/\r?\n/);
      reservations.push({ address, containerId, ifName });
    }
    return reservations;
  }

  /** When an address was taken, in milliseconds since the epoch; 0 for one that is free. */
  reservedAt(address: Address): number {
    return statSync(this.#path(address), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  /** The address handed out last from a range set: the next search starts after it, so that reuse is late. */
  lastReserved(rangeSet: number): Address | undefined {
    try {
      return parseAddress(readFileSync(join(this.#dir, `${LAST_RESERVED}${rangeSet}`), "utf8").trim());
    } catch {
      return undefined;
    }
  }

  /** Remembers the address handed out last. */
  rememberLast(rangeSet: number, address: Address): void {
    const path = join(this.#dir, `${LAST_RESERVED}${rangeSet}`);
    writeFileSync(`${path}.new`, formatAddress(address));
    renameSync(`${path}.new`, path);
  }

  #path(address: Address): string {
    return join(this.#dir, formatAddress(address));
  }
}
