// Subscribes with mqtt.js and prints each message as one line of JSON: Sparkplug payloads decoded by
// Eclipse Tahu's sparkplug-payload, JSON ones parsed and judged as a simple SCADA client would.
// Lines on standard input are requests: {"command": TOPIC, "metrics": [...]} publishes a payload that
// sparkplug-payload encoded; {"roundtrip": HEX} decodes it and encodes it again.
"use strict";

const mqtt = require("mqtt");
const proto = require("sparkplug-payload/lib/sparkplugPayloadProto.js");
const { get } = require("sparkplug-payload");

const spb = get("spBv1.0");
const RawPayload = proto.org.eclipse.tahu.protobuf.Payload;
const say = (what) => process.stdout.write(JSON.stringify(what, plain) + "\n");

function plain(_key, value) {
  // 64-bit numbers are objects of the library "long"; none here is beyond what a double holds.
  if (value && typeof value === "object" && typeof value.toNumber === "function") return value.toNumber();
  if (value && typeof value === "object" && "low" in value && "high" in value)
    return (value.high >>> 0) * 2 ** 32 + (value.low >>> 0);
  return value;
}

// Data comes by alias and, as the specification advises, without a data type: a host knows both from
// the birth.
const births = new Map();

function decode(topic, data) {
  const [, group, type, node] = topic.split("/");
  const key = `${group}/${node}`;
  if (type === "NBIRTH") births.set(key, new Map());
  const known = births.get(key) || new Map();
  const raw = RawPayload.decode(data);
  let untyped = 0;
  for (const metric of raw.metrics) {
    const alias = metric.hasOwnProperty("alias") ? String(plain("", metric.alias)) : null;
    if (type === "NBIRTH" || type === "DBIRTH") {
      if (alias !== null) known.set(alias, { name: metric.name, datatype: metric.datatype });
    } else if (alias !== null && known.has(alias) && !metric.hasOwnProperty("datatype")) {
      metric.datatype = known.get(alias).datatype;
      untyped += 1;
    }
  }
  const payload = spb.decodePayload(untyped ? RawPayload.encode(raw).finish() : data);
  for (const metric of payload.metrics || []) {
    const alias = metric.alias === undefined ? null : String(plain("", metric.alias));
    if (!metric.name && known.has(alias)) metric.name = known.get(alias).name;
  }
  return { payload, untyped };
}

function judge(text) {
  const value = JSON.parse(text);
  const flat =
    value !== null && typeof value === "object" && !Array.isArray(value) &&
    Object.values(value).every((one) => ["string", "number", "boolean"].includes(typeof one));
  return { flat, value };
}

function read(topic, data) {
  if (topic.startsWith("spBv1.0/") && !topic.includes("/STATE/")) return decode(topic, data);
  if (topic.endsWith("/image")) return { picture: data.length };
  return judge(data.toString("utf8"));
}

function answer(line) {
  const request = JSON.parse(line);
  if (request.roundtrip !== undefined) {
    const payload = spb.decodePayload(Buffer.from(request.roundtrip, "hex"));
    say({ payload, again: Buffer.from(spb.encodePayload(payload)).toString("hex") });
  } else {
    const timestamp = Date.now();
    client.publish(request.command, Buffer.from(spb.encodePayload({ timestamp, metrics: request.metrics })));
  }
}

const [url, version, ...filters] = process.argv.slice(2);
const client = url === "none" ? null : mqtt.connect(url, { protocolVersion: Number(version), reconnectPeriod: 0 });
if (client) {
  client.on("connect", () => client.subscribe(filters, { qos: 1 }, () => say({ ready: true })));
  client.on("error", (error) => say({ error: String(error) }));
  client.on("message", (topic, data, packet) => {
    const head = { topic, qos: packet.qos, retain: packet.retain };
    try {
      say({ ...head, ...read(topic, data) });
    } catch (error) {
      say({ ...head, error: String(error) });
    }
  });
} else {
  say({ ready: true });
}
require("readline").createInterface({ input: process.stdin }).on("line", answer).on("close", () => process.exit(0));
