// Says whether an address is on the list of a service: look_up.mjs URL TOKEN ADDRESS.
import { get } from "node:http";

const [url, token, ip] = process.argv.slice(2);
get(`${url}/v1/addresses/${ip}`, { headers: { authorization: `Bearer ${token}` } }, async (answer) => {
  let text = "";
  for await (const part of answer) text += part;
  const { listed, reason } = JSON.parse(text);
  console.log(JSON.stringify({ ip, listed, reason }));
});
