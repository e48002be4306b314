import { describe, expect, test } from "bun:test";
import { TestCluster } from "./cluster.suite.ts";
import { CONTROLLERS, controllersProblem, createControllers } from "./index.ts";
import { aliasesOf, isControllerOn, WITHOUT_WORK } from "./names.ts";

const NAMES = Object.keys(CONTROLLERS);
const started = (...list: string[]): string[] => createControllers(new TestCluster().deps, list).map(({ name }) => name);

describe("the list of controllers", () => {
  test.each(NAMES)("%s by itself runs nothing else, and left out everything else runs", (name) => {
    expect(started(name)).toEqual([name]);
    expect(started("*", `-${name}`)).toEqual(NAMES.filter((each) => each !== name));
    for (const alias of aliasesOf(name)) expect([started(alias), started("*", `-${alias}`).includes(name)]).toEqual([[name], false]);
  });

  test("a star is all, names beside a star change nothing, and the first word about a controller counts", () => {
    expect(started("*")).toEqual(NAMES);
    expect(started("*", "job")).toEqual(NAMES);
    expect(started("-job-controller", "job", "cronjob")).toEqual(["cronjob-controller"]);
    expect(isControllerOn("job-controller", ["job", "-job-controller"])).toBe(true);
    expect(started("-job-controller")).toEqual([]);
  });

  test("what upstream has and is not done here may be named", () => {
    for (const name of WITHOUT_WORK) expect(controllersProblem(`*,-${name},${name}`)).toBeUndefined();
    expect(started("selinux-warning-controller", "svm")).toEqual([]);
  });

  test("an unknown name is refused in upstream's words, without its sign", () => {
    expect(controllersProblem("*,-red-controller")).toBe('"red-controller" is not in the list of known controllers');
    expect(controllersProblem("")).toBe('"" is not in the list of known controllers');
    expect(() => started("blue")).toThrow('"blue" is not in the list of known controllers');
  });
});
