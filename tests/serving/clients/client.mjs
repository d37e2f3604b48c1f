// Sends the body of a file twice, with fetch and with the module http, and prints status and answer.
import { readFileSync } from "node:fs";
import http from "node:http";

const [address, file] = process.argv.slice(2);
const body = readFileSync(file);
const headers = { "Content-Type": "application/json" };

const answer = await fetch(address, { method: "POST", headers, body });
console.log(answer.status, await answer.text());

http.request(address, { method: "POST", headers }, async (response) => {
  const chunks = await response.toArray();
  console.log(response.statusCode, Buffer.concat(chunks).toString());
}).end(body);
