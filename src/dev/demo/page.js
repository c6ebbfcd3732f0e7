// The demo page: signs in, links a number, shows the number's phone and the items of its texts.

import { demo, phoneNumberApi } from "./api.js";

const POLL_MS = 700;

const $ = (id) => document.getElementById(id);

let settings;
let session = null; // { token, name, api }
let number = null; // the API's answer about the user's number
let turns = 0; // counts requests for the number
let phone = null; // the number whose phone is shown
const phones = new Map(); // number → [{ sid?, mine, body }], oldest first

// --- small helpers

function pretty(number) {
  const us = /^\+1(\d{3})(\d{3})(\d{4})$/.exec(number ?? "");
  return us ? `+1 ${us[1]} ${us[2]} ${us[3]}` : (number ?? "");
}

function show(id, visible) {
  $(id).hidden = !visible;
}

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Shows an error, or clears it: a sentence for the user, and details for a developer below it. */
function showError(id, error) {
  const shown = $(id);
  const detail = error?.status ? [`HTTP ${error.status}`, error.code].filter(Boolean).join(" ") : "";
  const key = `${error?.message ?? ""} ${detail}`;
  if (shown.dataset.key === key) return; // otherwise a screen reader repeats it
  shown.dataset.key = key;
  shown.replaceChildren(...(error ? [error.message, element("small", detail)] : []));
}

/** Runs a button's action. The button is disabled meanwhile, and an error is shown beside it. */
async function act(button, errorId, what) {
  showError(errorId, null);
  button.disabled = true;
  try {
    await what();
  } catch (error) {
    if (error.status === 401 && session) return signOut(error);
    showError(errorId, error);
  } finally {
    button.disabled = false;
    if (document.activeElement === document.body) button.focus(); // disabling removed the focus
  }
}

function onSubmit(formId, errorId, what) {
  $(formId).addEventListener("submit", (event) => {
    event.preventDefault();
    act($(formId).querySelector("button"), errorId, what);
  });
}

function onClick(id, errorId, what) {
  $(id).addEventListener("click", () => act($(id), errorId, what));
}

// --- sign-in

async function enter(signedIn) {
  session = { ...signedIn, api: phoneNumberApi(settings.api, signedIn.token) };
  sessionStorage.setItem("session", JSON.stringify(signedIn));
  $("name").textContent = session.name;
  for (const id of ["number", "items", "phone", "who"]) show(id, true);
  show("sign-in", false);
  phone = null;
  number = null;
  renderPhone();
  renderNumber();
  $("number-title").focus();
  await refreshNumber();
  await poll();
}

function signOut(error = null) {
  session = null;
  sessionStorage.removeItem("session");
  for (const id of ["number", "items", "phone", "who"]) show(id, false);
  for (const id of ["number-error", "items-error", "phone-error"]) showError(id, null);
  renderItems([]);
  show("no-items", false); // it is not known yet whether the next user has items
  showError("sign-in-error", error);
  show("sign-in", true);
  $("sign-in-title").focus();
}

// --- the number

function deliverySentence({ phoneNumber, delivery, codeExpiresAt }) {
  const to = pretty(phoneNumber);
  if (codeExpiresAt && new Date(codeExpiresAt) <= new Date()) return "The code has expired. Send it again.";
  switch (delivery?.state) {
    case "failed":
      return `The code could not be delivered to ${to}: ${delivery.reason ?? "nobody knows why"}.`;
    case "delivered":
      return `A code has been delivered to ${to}.`;
    case "sent":
      return `A code has been sent to ${to}.`;
    default:
      return `A code is on its way to ${to}.`;
  }
}

async function refreshNumber() {
  const asked = session;
  const turn = ++turns;
  const answer = await asked.api.get();
  if (session !== asked || turn !== turns) return; // a newer request will show a newer answer
  number = answer;
  if (number) phone = number.phoneNumber;
  renderNumber();
  renderPhone();
}

function renderNumber() {
  const claimed = Boolean(number) && !number.verified;
  const linked = Boolean(number?.verified);
  show("link", !number);
  show("claimed", claimed);
  show("linked", linked);
  if (linked) $("linked-number").textContent = pretty(number.phoneNumber);
  const sentence = claimed ? deliverySentence(number) : "";
  // Only on a change: a screen reader reads it out.
  if ($("delivery").textContent !== sentence) $("delivery").textContent = sentence;
  $("delivery").classList.toggle("bad", claimed && number.delivery?.state === "failed");
}

async function link(phoneNumber) {
  await session.api.link(phoneNumber);
  await refreshNumber();
}

async function unlink(focus) {
  await session.api.unlink();
  turns += 1;
  number = null;
  renderNumber();
  $(focus).focus();
}

// --- the phone

function renderPhone() {
  $("phone-title").textContent = phone ? `Phone ${pretty(phone)}` : "Phone";
  $("peer").textContent = pretty(settings.ourNumber);
  const messages = phones.get(phone) ?? [];
  const list = $("messages");
  if (list.dataset.phone !== (phone ?? "")) {
    list.replaceChildren();
    list.dataset.phone = phone ?? "";
  }
  for (const message of messages.slice(list.childElementCount)) {
    const bubble = element("li", "", message.mine ? "mine" : "theirs");
    bubble.append(element("span", message.mine ? "You: " : "SMS: ", "unseen"), element("span", message.body, "body"));
    list.append(bubble);
    list.scrollTop = list.scrollHeight;
  }
  show("no-messages", messages.length === 0);
  for (const control of $("text").elements) control.disabled = !phone;
}

async function refreshPhone() {
  const to = phone;
  if (!to) return;
  const all = await demo.sms(to);
  const known = phones.get(to) ?? [];
  const arrived = all.filter(({ sid }) => !known.some((message) => message.sid === sid));
  phones.set(to, [...known, ...arrived]);
  if (to === phone) renderPhone();
}

async function sendText() {
  const body = $("body").value.trim();
  if (!body) return;
  await demo.text(phone, body);
  $("body").value = "";
  phones.set(phone, [...(phones.get(phone) ?? []), { mine: true, body }]);
  renderPhone();
}

// --- the items

const FIELDS = { customNotes: "note", location: "place" };

function renderItems(items) {
  const list = $("item-list");
  const shown = new Map([...list.children].map((child) => [child.dataset.id, child]));
  const rows = items.map((item) => {
    const old = shown.get(item.id);
    if (old) return old;
    const row = element("li", "");
    row.dataset.id = item.id;
    const kind = item.type === "tag" ? "tag" : (FIELDS[item.field] ?? item.field ?? "contact");
    row.append(element("span", kind, `kind ${kind}`), " ", element("span", item.value, "value"));
    return row;
  });
  // Only on a change: a screen reader announces each new row.
  if (rows.length !== list.childElementCount || rows.some((row, index) => list.children[index] !== row)) {
    list.replaceChildren(...rows);
  }
  show("no-items", items.length === 0);
}

async function refreshItems() {
  const asked = session;
  const items = await demo.items(asked.token);
  if (session === asked) renderItems(items);
}

// --- timers

async function poll() {
  if (!session) return;
  const asked = session;
  const refresh = [refreshPhone(), refreshItems()];
  if (number && !number.verified) refresh.push(refreshNumber());
  const results = await Promise.allSettled(refresh);
  if (session !== asked) return;
  const failed = results.find(({ status }) => status === "rejected");
  if (failed?.reason.status === 401) return signOut(failed.reason);
  showError("items-error", failed?.reason);
}

async function pollOn() {
  if (!document.hidden) await poll();
  setTimeout(pollOn, POLL_MS);
}

for (const button of document.querySelectorAll("[data-user]")) {
  button.addEventListener("click", () =>
    act(button, "sign-in-error", async () => enter(await demo.signIn(button.dataset.user))),
  );
}
$("sign-out").addEventListener("click", () => signOut());
onSubmit("link", "number-error", async () => {
  await link($("phone-number").value);
  $("code").value = "";
  $("code").focus();
});
onSubmit("verify", "number-error", async () => {
  await session.api.verify(number.phoneNumber, $("code").value.trim());
  $("code").value = "";
  await refreshNumber();
  $("number-title").focus();
});
onClick("resend", "number-error", () => link(number.phoneNumber));
onClick("other", "number-error", () => unlink("phone-number"));
onClick("unlink", "number-error", () => unlink("phone-number"));
onSubmit("text", "phone-error", sendText);

try {
  settings = await demo.settings();
  const kept = sessionStorage.getItem("session");
  if (kept) await enter(JSON.parse(kept));
  else signOut();
} catch (error) {
  signOut(error);
}
pollOn();
