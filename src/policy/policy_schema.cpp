#include "policy/policy_schema.h"

namespace skerry {
namespace {

constexpr std::string_view kPolicySchema = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "https://skerry.dev/schema/policy-1.json",
  "title": "What may leave a site (skerry: policy/1)",
  "type": "object",
  "required": ["skerry", "name", "version"],
  "additionalProperties": false,
  "properties": {
    "skerry": {"const": "policy/1"},
    "name": {"type": ["string", "integer", "boolean"], "pattern": "^[a-z0-9]+([._-][a-z0-9]+)*$", "maxLength": 64, "minimum": 0},
    "version": {"type": ["string", "integer", "boolean"], "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "maxLength": 128, "minimum": 0},
    "default": {"const": "drop"},
    "fields": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/fieldRule"}},
    "derived": {
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "prediction": {"$ref": "#/$defs/keepOrDrop"},
        "score": {"$ref": "#/$defs/keepDropOrRound"},
        "outputs": {"$ref": "#/$defs/keepDropOrRound"},
        "anomaly_score": {"$ref": "#/$defs/keepDropOrRound"},
        "reasons": {"$ref": "#/$defs/keepOrDrop"},
        "event_time": {"$ref": "#/$defs/timeRule"},
        "status": {"$ref": "#/$defs/keepOrDrop"}
      }
    },
    "withhold": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["when", "rule"],
        "additionalProperties": false,
        "properties": {"when": {"$ref": "#/$defs/condition"}, "rule": {"$ref": "#/$defs/ruleName"}}
      }
    },
    "classes": {
      "type": ["object", "null"],
      "additionalProperties": false,
      "properties": {
        "anomaly": {
          "type": "object", "required": ["when"], "additionalProperties": false,
          "properties": {"when": {"$ref": "#/$defs/condition"}}
        },
        "sample": {"$ref": "#/$defs/rate"},
        "insight": {"$ref": "#/$defs/rate"},
        "summary": {
          "type": "object", "required": ["every_rows", "min_group"], "additionalProperties": false,
          "properties": {
            "every_rows": {"type": "integer", "minimum": 1, "maximum": 1000000000},
            "min_group": {"type": "integer", "minimum": 1, "maximum": 1000000}
          }
        },
        "decision": {"type": ["object", "null"], "additionalProperties": false}
      }
    },
    "tests": {"type": "array", "items": {"$ref": "#/$defs/case"}}
  },
  "$defs": {
    "word": {"type": ["string", "integer", "boolean"]},
    "condition": {"type": "string", "minLength": 1, "maxLength": 4096},
    "ruleName": {"type": ["string", "integer", "boolean"], "pattern": "^[^\\u0000-\\u001f\\u007f]+$", "maxLength": 128},
    "rate": {
      "type": "object", "required": ["rate"], "additionalProperties": false,
      "properties": {"rate": {"type": "number", "minimum": 0, "maximum": 1}}
    },
    "step": {"type": "number", "minimum": 1e-12, "maximum": 1e12},
    "plain": {
      "type": "object", "required": ["action"], "additionalProperties": false,
      "properties": {"action": {"enum": ["keep", "drop"]}, "rule": {"$ref": "#/$defs/ruleName"}}
    },
    "round": {
      "type": "object", "required": ["action", "to"], "additionalProperties": false,
      "properties": {"action": {"const": "round"}, "to": {"$ref": "#/$defs/step"}, "rule": {"$ref": "#/$defs/ruleName"}}
    },
    "keepOrDrop": {"anyOf": [{"enum": ["keep", "drop"]}, {"$ref": "#/$defs/plain"}]},
    "keepDropOrRound": {"anyOf": [{"$ref": "#/$defs/keepOrDrop"}, {"$ref": "#/$defs/round"}]},
    "timeRule": {
      "anyOf": [
        {"$ref": "#/$defs/keepOrDrop"},
        {
          "type": "object", "required": ["action", "to"], "additionalProperties": false,
          "properties": {
            "action": {"const": "truncate_time"},
            "to": {"enum": ["second", "minute", "hour", "day"]},
            "rule": {"$ref": "#/$defs/ruleName"}
          }
        }
      ]
    },
    "fieldRule": {
      "anyOf": [
        {"$ref": "#/$defs/keepDropOrRound"},
        {"const": "hash"},
        {
          "type": "object", "required": ["action"], "additionalProperties": false,
          "properties": {"action": {"const": "hash"}, "rule": {"$ref": "#/$defs/ruleName"}}
        },
        {
          "type": "object", "required": ["action", "detect"], "additionalProperties": false,
          "properties": {
            "action": {"const": "keep"},
            "detect": {"type": "array", "minItems": 1, "items": {"enum": ["email", "phone", "iban", "card"]}},
            "block": {"enum": ["drop", "withhold"]},
            "rule": {"$ref": "#/$defs/ruleName"}
          }
        },
        {
          "type": "object", "required": ["action", "width"], "additionalProperties": false,
          "properties": {"action": {"const": "bucket"}, "width": {"$ref": "#/$defs/step"}, "rule": {"$ref": "#/$defs/ruleName"}}
        },
        {
          "type": "object", "required": ["action", "keep_last"], "additionalProperties": false,
          "properties": {
            "action": {"const": "mask"},
            "keep_last": {"type": "integer", "minimum": 0, "maximum": 64},
            "rule": {"$ref": "#/$defs/ruleName"}
          }
        },
        {
          "type": "object", "required": ["action", "list"], "additionalProperties": false,
          "properties": {
            "action": {"const": "allow"},
            "list": {"type": "array", "items": {"$ref": "#/$defs/word"}},
            "rule": {"$ref": "#/$defs/ruleName"}
          }
        }
      ]
    },
    "cell": {"type": ["string", "number", "boolean", "null"]},
    "case": {
      "type": "object", "required": ["row", "expect"], "additionalProperties": false,
      "properties": {
        "name": {"$ref": "#/$defs/ruleName"},
        "row": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/cell"}},
        "scored": {
          "type": ["object", "null"], "additionalProperties": false,
          "properties": {
            "prediction": {"type": "integer", "minimum": 0, "maximum": 255},
            "score": {"type": "number", "minimum": -1e12, "maximum": 1e12},
            "anomaly_score": {"type": "number", "minimum": -1e12, "maximum": 1e12}
          }
        },
        "expect": {
          "anyOf": [
            {
              "type": "object", "required": ["withheld"], "additionalProperties": false,
              "properties": {"withheld": {"$ref": "#/$defs/ruleName"}}
            },
            {
              "type": "object", "minProperties": 1, "additionalProperties": false,
              "anyOf": [{"required": ["classes"]}, {"properties": {"out": {"type": "object", "minProperties": 1}}}],
              "properties": {
                "classes": {"type": "array", "items": {"enum": ["anomaly", "sample", "insight"]}},
                "out": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/cell"}}
              }
            }
          ]
        }
      }
    }
  }
}
)json";

}  // namespace

std::string_view PolicyJsonSchema() { return kPolicySchema; }

}  // namespace skerry
