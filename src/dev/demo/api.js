// The requests of this page. It calls the receiver as the app's front end would. It calls the demo's own server for
// the app's sign-in, the phone and the app's list of items.

/** A failed request. `status` is 0 if there was no answer. */
export class Refused extends Error {
  constructor(status, sentence, code) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

async function call(method, url, { token, body, headers } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: {
        ...(token && { Authorization: `Bearer ${token}` }),
        ...(body && { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body && JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, "There is no answer. Is “dev” still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  // The app's own errors have `error`; all others are problem details (RFC 9457).
  throw new Refused(response.status, answer.error ?? answer.detail ?? answer.title ?? "Refused", answer.code);
}

/** The demo's own server. */
export const demo = {
  settings: () => call("GET", "demo/settings"),
  signIn: (user) => call("POST", "demo/sign-in", { body: { user } }),
  sms: (to) => call("GET", `demo/sms?${new URLSearchParams({ to })}`),
  text: (from, body) => call("POST", "demo/texts", { body: { from, body } }),
  items: (token) => call("GET", "demo/items", { token }),
};

/** The receiver's phone number API, for the user of this token. */
export function phoneNumberApi(base, token) {
  const url = `${base}/api/user/phone-number`;
  // One key for each press of a button: if the browser repeats the request, it has no second effect.
  const post = (url, body) =>
    call("POST", url, { token, body, headers: { "Idempotency-Key": crypto.randomUUID() } });
  return {
    link: (phoneNumber) => post(url, { phoneNumber }),
    verify: (phoneNumber, code) => post(`${url}/verify`, { phoneNumber, code }),
    unlink: () => call("DELETE", url, { token }),
    async get() {
      try {
        return await call("GET", url, { token });
      } catch (error) {
        if (error.status === 404) return null;
        throw error;
      }
    },
  };
}
