import { expect, test } from "bun:test";
import { noteCall, restFigures } from "./restfigures.ts";

test("calls are told by answer, and by how long they took, under upstream's names", () => {
  noteCall({ host: "figures:6443", method: "GET", code: 200, seconds: 0.2 });
  noteCall({ host: "figures:6443", method: "GET", code: 200, seconds: 3 });
  noteCall({ host: "figures:6443", method: "GET", code: undefined, seconds: 60 });
  const text = restFigures();
  expect(text).toContain('rest_client_requests_total{code="200",host="figures:6443",method="GET"} 2');
  expect(text).toContain('rest_client_requests_total{code="<error>",host="figures:6443",method="GET"} 1');
  expect(text).toContain('rest_client_request_duration_seconds_bucket{host="figures:6443",verb="GET",le="0.25"} 1');
  expect(text).toContain('rest_client_request_duration_seconds_count{host="figures:6443",verb="GET"} 3');
});
