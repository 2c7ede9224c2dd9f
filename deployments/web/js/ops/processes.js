// Replicas of the deployments, and the session shards.
import { byId, h } from "../dom.js";
import { t } from "../i18n.js";
import { table } from "./table.js";
import { count, mebibytes } from "./words.js";

export function showProcesses(now) {
  const deployments = Object.entries(now.replicas ?? {});
  const shards = (now.shards ?? []).map((shard, place) => ({ place, shard }));
  const replicas = (states) => Object.entries(states).filter(([, n]) => n).map(([state, n]) => `${n} ${state.toLowerCase()}`).join(", ");
  byId("processes").replaceChildren(...[
    deployments.length ? table(t("ops.replicas"), [
      [t("ops.deployment"), ([name]) => name],
      [t("ops.state"), ([, one]) => String(one.status).toLowerCase(), ([, one]) => (one.status === "HEALTHY" ? null : "bad")],
      [t("ops.replicaStates"), ([, one]) => replicas(one.replicas) || "0"],
    ], deployments) : h("p", { class: "quiet" }, t("ops.noReplicas")),
    table(t("ops.shards"), [
      [t("ops.shard"), ({ place }) => String(place)],
      [t("ops.sessions"), ({ shard }) => (shard ? count(shard.sessions) : t("ops.away")), ({ shard }) => (shard ? null : "bad")],
      [t("ops.memory"), ({ shard }) => (shard ? mebibytes(shard.memory_bytes) : "–")],
      [t("ops.events"), ({ shard }) => (shard ? count(shard.appended) : "–")],
      [t("ops.duplicates"), ({ shard }) => (shard ? count(shard.duplicates) : "–")],
      [t("ops.waiting"), ({ shard }) => (shard ? count(shard.waiting) : "–")],
    ], shards),
    now.unreachable_nodes ? h("p", { class: "error-text" }, t("ops.unreachable", { n: now.unreachable_nodes })) : null,
  ].filter(Boolean));
}
