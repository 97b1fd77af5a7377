// What openapi-typescript makes of the document means what the document says.
import type { components, paths } from "./api.js";

type Key = components["schemas"]["ApiKey"];
type Created = paths["/api-keys"]["post"]["responses"]["201"]["content"]["application/json"];
type Rename = paths["/profile"]["patch"]["requestBody"]["content"]["application/merge-patch+json"];

const key: Key = { id: "Q7xw2mB9aZ", name: "laptop", hint: "aic_Q7xw2mB9aZ", scopes: [], status: "active", created_at: "2026-11-24T09:30:00Z" };
const created: Created = { api_key: key };
export const secret: string | undefined = created.secret;
export const rename: Rename = { given_name: null };

// @ts-expect-error No such status.
export const status: Key["status"] = "deleted";
// @ts-expect-error A key has a name.
export const nameless: Key = { id: "Q7xw2mB9aZ", hint: "", scopes: [], status: "active", created_at: "" };
// @ts-expect-error The e-mail address is not the user's to change.
export const address: Rename = { email: "ana@example.com" };
