// The systemd units that install-service writes.
import { expect, test } from "bun:test";
import { unitText } from "./service.ts";

test("a unit runs its mode with the flags it was given, and its end leaves containers alone", () => {
  const unit = unitText("agent", "/usr/bin/minik8s", ["--join", "https://10.0.0.5:6443", "--node-labels", "a=b c"]);
  expect(unit).toContain('ExecStart=/usr/bin/minik8s agent --join https://10.0.0.5:6443 --node-labels "a=b c"\n');
  expect(unit).toContain("KillMode=process\n");
  expect(unitText("control", "/usr/bin/minik8s", [])).toContain("ExecStart=/usr/bin/minik8s control --init\n");
});

test("what ends by itself is started again, but not what was called wrongly", () => {
  expect(unitText("agent", "/usr/bin/minik8s", [])).toContain("Restart=always\nRestartSec=2\nRestartPreventExitStatus=2\n");
});
