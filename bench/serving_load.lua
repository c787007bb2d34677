-- wrk's script: POST the file named first, and say in one line what came of it.
-- wrk -t1 -c16 -d2s -s serving_load.lua http://127.0.0.1:8080/predict -- body.json

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  file:close()
  -- Built once: the client must not be what is measured.
  built = wrk.format()
end

function request()
  return built
end

function done(summary)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d\n",
    summary.requests,
    summary.duration,
    errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
