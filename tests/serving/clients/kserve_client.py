"""Asks a server with KServe's own client, and prints what it understood as JSON. It runs in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import sys

from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def ask(address: str, tensors: list[dict[str, object]]) -> None:
    """Print the health of the server and of the model, and the outputs for the tensors."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    health = [await client.is_server_live(address), await client.is_server_ready(address)]
    health.append(await client.is_model_ready(address, "model"))
    inputs = [InferInput(each["name"], each["shape"], each["datatype"], data=each["data"]) for each in tensors]
    answer = await client.infer(address, InferRequest(model_name="model", infer_inputs=inputs), model_name="model")
    sys.stdout.write(json.dumps({"health": health, "outputs": [[each.name, each.data] for each in answer.outputs]}))


asyncio.run(ask(sys.argv[1], json.loads(sys.argv[2])))
