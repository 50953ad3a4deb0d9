-- What wrk prints in the end, on one line; responses other than 2xx and 3xx count as errors.
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format('\n{"answered": %d, "rate": %f, "errors": %d, "p50": %f, "p99": %f}',
    summary.requests, summary.requests / summary.duration * 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
