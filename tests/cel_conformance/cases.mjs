// Turns the conformance suite of npm's @bufbuild/cel-spec into lines that tests/cel_conformance.rs runs.
// Usage: node cases.mjs DIRECTORY-OF-THE-PACKAGE SECTION...
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [directory, ...sections] = process.argv.slice(2);
const file = join(directory, "dist/esm/testdata/conformance.js");
const { tests } = await import(pathToFileURL(file).href);

/** A text as a CEL literal, with everything unusual escaped. */
function text(value) {
  const escaped = [...value].map((c) => {
    const code = c.codePointAt(0);
    if (code >= 0x20 && code < 0x7f && c !== "'" && c !== "\\") return c;
    return "\\U" + code.toString(16).padStart(8, "0");
  });
  return `'${escaped.join("")}'`;
}

function double(value) {
  if (typeof value === "string") return `double('${value}')`;
  const written = Object.is(value, -0) ? "-0.0" : String(value);
  return /[.e]/.test(written) ? written : written + ".0";
}

/** A protobuf value as a CEL expression. A message that is no value of ours gives undefined. */
function literal(value) {
  const [[kind, inner]] = Object.entries(value);
  switch (kind) {
    case "nullValue": return "null";
    case "boolValue": return String(inner);
    case "int64Value": return `(${inner})`;
    case "uint64Value": return `${inner}u`;
    case "doubleValue": return `(${double(inner)})`;
    case "stringValue": return text(inner);
    case "bytesValue": return `b'${[...Buffer.from(inner, "base64")].map((b) => "\\x" + b.toString(16).padStart(2, "0")).join("")}'`;
    case "typeValue": return inner;
    case "listValue": return `[${(inner.values ?? []).map(literal).join(", ")}]`;
    case "mapValue": return `{${(inner.entries ?? []).map((e) => `${literal(e.key)}: ${literal(e.value)}`).join(", ")}}`;
    case "objectValue": {
      const type = inner["@type"]?.split("/").pop();
      if (type === "google.protobuf.Duration") return `duration(${text(inner.value)})`;
      if (type === "google.protobuf.Timestamp") return `timestamp(${text(inner.value)})`;
      return undefined;
    }
    default: return undefined;
  }
}

const TYPES = {
  nullValue: "null_type", boolValue: "bool", int64Value: "int", uint64Value: "uint", doubleValue: "double",
  stringValue: "string", bytesValue: "bytes", typeValue: "type", listValue: "list", mapValue: "map",
};

/** An expression that is true if and only if `name` is exactly this value, types included. */
function exactly(name, value) {
  const [[kind, inner]] = Object.entries(value);
  const same = [`type(${name}) == ${TYPES[kind] ?? `type(${literal(value)})`}`];
  if (kind === "listValue") {
    const items = inner.values ?? [];
    same.push(`size(${name}) == ${items.length}`);
    items.forEach((item, i) => same.push(exactly(`dyn(${name})[${i}]`, item)));
  } else if (kind === "mapValue") {
    const entries = inner.entries ?? [];
    same.push(`size(${name}) == ${entries.length}`);
    entries.forEach((e) => same.push(exactly(`dyn(${name})[${literal(e.key)}]`, e.value)));
  } else if (kind === "doubleValue" && inner === "NaN") {
    same.push(`${name} != ${name}`);
  } else {
    same.push(`dyn(${name}) == ${literal(value)}`);
  }
  return same.join(" && ");
}

/** Bindings that JSON can carry stay variables. The others are bound in the expression itself. */
function bound(expression, bindings) {
  const variables = {};
  for (const [name, { value }] of Object.entries(bindings ?? {})) {
    if (["true", "false", "null"].includes(name)) continue;
    const [[kind, inner]] = Object.entries(value);
    if (kind === "int64Value" && Number.isSafeInteger(Number(inner))) variables[name] = Number(inner);
    else if (kind === "stringValue" || kind === "boolValue") variables[name] = inner;
    else if (name.includes(".")) variables[name] = plain(value);
    else expression = `[${literal(value)}].map(${name}, ${expression}\n)[0]`;
  }
  return { expression, variables };
}

/** A protobuf value as JSON. Only for values that JSON can carry. */
function plain(value) {
  const [[kind, inner]] = Object.entries(value);
  if (kind === "listValue") return (inner.values ?? []).map(plain);
  if (kind === "mapValue") return Object.fromEntries((inner.entries ?? []).map((e) => [plain(e.key), plain(e.value)]));
  return kind === "int64Value" ? Number(inner) : inner;
}

function emit(section, path, test) {
  const { name, expr, value, typedResult, evalError, bindings, disableCheck, checkOnly } = test;
  const expected = value ?? typedResult?.result ?? { boolValue: true };
  const fails = evalError !== undefined;
  const line = { section, name: `${path}/${name}`, unchecked: disableCheck === true, fails, written: expr };
  Object.assign(line, bound(expr, bindings));
  if (!fails) {
    line.foreign = literal(expected) === undefined || checkOnly === true;
    if (!line.foreign) line.exactly = `[${line.expression}\n].map(r, ${exactly("r", expected)})[0]`;
  }
  console.log(JSON.stringify(line));
}

function walk(section, path, suite) {
  for (const { original } of suite.tests ?? []) emit(section, path, original);
  for (const inner of suite.suites ?? []) walk(section, `${path}/${inner.name}`, inner);
}

for (const suite of tests.suites) {
  if (sections.includes(suite.name)) walk(suite.name, suite.name, suite);
}
