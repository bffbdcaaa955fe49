// Lets Amazon's own validator look at sns.json: `npm install sns-validator@0.3.5 && node check_sns.mjs`.
import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";

const file = JSON.parse(readFileSync(new URL("sns.json", import.meta.url)));
https.get = (url, answer) => {
  const response = Object.assign(new EventEmitter(), { statusCode: 200 });
  answer(response);
  response.emit("data", file.certificate);
  response.emit("end");
  return new EventEmitter();
};
const require = createRequire(process.cwd() + "/");
const validator = new (require("sns-validator"))();
for (const { what, body } of [...file.accepted, ...file.garbage, file.confirm]) {
  validator.validate(body, (error) => {
    if (error) throw new Error(`${what}: ${error.message}`);
    console.log("valid:", what);
  });
}
