"""Examples of administration and of rules; see `deployments.examples`."""

from __future__ import annotations

from deployments.example import Example

ADMINISTRATION = (
    Example(
        "A key for a shop's back end",
        "POST",
        "/v1/admin/keys",
        body={"name": "shop", "scopes": ["read", "write"], "limits": ["100/second"]},
        status=201,
        answer={"key_id": "...", "key": "tb_...", "scopes": ["read", "write"]},
        keeps={"KEY_ID": "key_id"},
    ),
    Example("All keys", "GET", "/v1/admin/keys", answer={"keys": [{"key_id": "...", "is_valid": True}]}),
    Example(
        "A new key in its place; the old one counts for an hour more",
        "POST",
        "/v1/admin/keys:rotate/{key_id}",
        ids={"key_id": "$KEY_ID"},
        body={"grace_s": 3600},
        status=201,
        answer={"key_id": "...", "key": "tb_...", "replaces": "..."},
        keeps={"NEW_ID": "key_id"},
    ),
    Example("End a key", "DELETE", "/v1/admin/keys/{key_id}", ids={"key_id": "$KEY_ID"}, status=204),
    Example("And the other", "DELETE", "/v1/admin/keys/{key_id}", ids={"key_id": "$NEW_ID"}, status=204),
    Example(
        "The last acts",
        "GET",
        "/v1/admin/audit",
        query={"limit": 2},
        answer={"entries": [{"actor": "key:bootstrap", "action": "key.revoke"}], "next_before": 7},
    ),
)

RULES = (
    Example(
        "An item stands first until the end of the year",
        "PUT",
        "/v1/admin/rules/{rule_id}",
        ids={"rule_id": "first"},
        body={"kind": "pin", "item_id": "183", "position": 1, "ends_at": "2099-01-01T00:00:00Z"},
        answer={"rule_id": "first", "kind": "pin", "item_id": "183", "position": 1, "updated_at": "..."},
    ),
    Example(
        "Westerns are three times as likely as they were",
        "PUT",
        "/v1/admin/rules/{rule_id}",
        ids={"rule_id": "westerns"},
        body={"kind": "boost", "filter": 'genre == "Western"', "factor": 3},
        answer={"rule_id": "westerns", "kind": "boost", "factor": 3.0},
    ),
    Example(
        "At most four of a genre in a list",
        "PUT",
        "/v1/admin/rules/{rule_id}",
        ids={"rule_id": "mixture"},
        body={"kind": "cap", "each": "genre", "max_items": 4, "note": "Asked for by the editors"},
        answer={"rule_id": "mixture", "kind": "cap", "each": "genre", "max_items": 4},
    ),
    Example("One rule", "GET", "/v1/admin/rules/{rule_id}", ids={"rule_id": "first"}, answer={"kind": "pin"}),
    Example("All rules", "GET", "/v1/admin/rules", answer={"rules": [{"rule_id": "...", "kind": "..."}]}),
    *(
        Example("Delete it", "DELETE", "/v1/admin/rules/{rule_id}", ids={"rule_id": name}, status=204)
        for name in ("first", "westerns", "mixture")
    ),
)
