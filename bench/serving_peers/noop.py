"""What FastAPI itself costs: one async route that reads the body and answers {}."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict[str, str]:
    """Read the body, answer nothing."""
    await request.body()
    return {}


if __name__ == "__main__":
    # As src/fraudloop/serving/server.py has them.
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
