// Receives webhooks of Docket, believes those that are signed, and acts on each once.
//
//     npm install standardwebhooks@1.1.1
//     WEBHOOK_SECRET=whsec_… node receiver.mjs 9000
//
// Prints what it took: type, stream, version, id.

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const LARGEST = 2 * 1024 * 1024;
const webhook = new Webhook(process.env.WEBHOOK_SECRET);
// A service keeps these with what it does, in the same transaction of its database.
const seen = new Set();

function act(delivery, { type, data }) {
  console.log(type, data.stream, data.stream_version, delivery);
}

function judge(headers, body) {
  let message;
  try {
    // Over the bytes as they came: parsed and written again they may differ.
    message = webhook.verify(body, headers);
  } catch {
    return 401;
  }
  const delivery = headers["webhook-id"];
  // What was taken once comes again when our answer was lost.
  if (!seen.has(delivery)) {
    act(delivery, message);
    seen.add(delivery);
  }
  return 204;
}

const server = createServer((request, response) => {
  const chunks = [];
  let size = 0;
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size <= LARGEST) chunks.push(chunk);
  });
  request.on("end", () => {
    response.writeHead(size > LARGEST ? 413 : judge(request.headers, Buffer.concat(chunks))).end();
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
