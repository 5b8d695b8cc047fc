package gen_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/gen"
)

// TestSessionsMakeSense walks the sessions as an auditor would.
func TestSessionsMakeSense(t *testing.T) {
	lines, _ := generate(t, with(everything))
	events := parse(t, lines)
	byID, spans, runs := map[string]*event{}, map[string]*event{}, map[string][]*event{}
	seen := map[string]int{}
	for i := range events {
		e := &events[i]
		trace, span := e.text("traceparent")[3:35], e.text("traceparent")[36:52]
		require.Equal(t, fmt.Sprintf("00-%s-%s-01", trace, span), e.text("traceparent"))
		require.Nil(t, spans[trace+span])
		if parent := e.text("parentspanid"); parent != "" {
			require.NotNil(t, spans[trace+parent], "its parent is of the same trace, and came before")
		}
		require.Equal(t, strconv.Itoa(len(runs[e.text("runid")])), e.text("sequence"), "runs are without a gap")
		if cause := e.text("causationid"); cause != "" {
			from := byID[cause]
			require.NotNil(t, from, "what caused it came before")
			require.Equal(t, e.text("sessionid"), from.text("sessionid"))
			require.Equal(t, from.text("source"), causeSource(e))
		}
		if parent := e.text("parentrunid"); parent != "" {
			caller := runs[parent]
			require.NotEmpty(t, caller)
			require.NotEqual(t, caller[0].text("agentid"), e.text("agentid"))
		}
		byID[e.text("id")], spans[trace+span] = e, e
		runs[e.text("runid")] = append(runs[e.text("runid")], e)
		if check := sense[e.class]; check != nil {
			check(t, e, byID)
		}
		seen[e.class]++
		seen[e.attr("audit.status")]++
		seen[e.attr("audit.action.effect")]++
	}
	for _, what := range []string{
		"prompt", "input", "context_retrieval", "tool_call", "output", "action", "evaluation", "handoff",
		"ok", "error", "denied", "committed", "failed", "planned",
	} {
		require.NotZero(t, seen[what], what)
	}
}

func causeSource(e *event) string {
	if source := e.text("causationsource"); source != "" {
		return source
	}
	return e.text("source")
}

// sense is what is to be true of an event of a class.
var sense = map[string]func(*testing.T, *event, map[string]*event){
	"prompt": func(t *testing.T, e *event, _ map[string]*event) {
		require.Empty(t, e.text("causationid"))
		require.Empty(t, e.text("parentspanid"))
	},
	"input": func(t *testing.T, e *event, byID map[string]*event) {
		require.Contains(t, []string{"prompt", "handoff"}, byID[e.text("causationid")].class)
		require.Equal(t, byID[e.text("causationid")].class == "handoff", e.text("parentrunid") != "")
	},
	"tool_call": func(t *testing.T, e *event, byID map[string]*event) {
		asked := byID[e.text("causationid")]
		require.Equal(t, "output", asked.class)
		message := asked.data["gen_ai.output.messages"].([]any)[0].(map[string]any)
		call := message["parts"].([]any)[2].(map[string]any)
		require.Equal(t, call["id"], e.data["gen_ai.tool.call.id"])
		require.Equal(t, call["name"], e.data["gen_ai.tool.name"])
		require.Equal(t, call["arguments"], e.data["gen_ai.tool.call.arguments"])
		require.Equal(t, e.attr("audit.status") == "error", e.attr("error.type") != "")
		first := byID[e.attr("audit.retry_of")]
		if e.number("audit.attempt") == 1 {
			require.Nil(t, first)
			return
		}
		require.LessOrEqual(t, e.number("audit.attempt"), int64(3))
		require.Equal(t, e.number("audit.attempt")-1, first.number("audit.attempt"))
		require.Equal(t, "error", first.attr("audit.status"))
		require.Equal(t, e.attr("gen_ai.tool.call.id"), first.attr("gen_ai.tool.call.id"))
		require.Equal(t, e.attr("audit.idempotency_key"), first.attr("audit.idempotency_key"))
		require.True(t, first.at.Add(time.Duration(first.number("audit.duration_ms"))*time.Millisecond).Before(e.at))
	},
	"action": actionMakesSense,
	"evaluation": func(t *testing.T, e *event, byID map[string]*event) {
		answer := byID[e.text("causationid")]
		require.Equal(t, "output", answer.class)
		require.Equal(t, []any{"stop"}, answer.data["gen_ai.response.finish_reasons"])
	},
}

func actionMakesSense(t *testing.T, e *event, byID map[string]*event) {
	cause := byID[e.text("causationid")]
	require.NotEmpty(t, e.attr("audit.idempotency_key"))
	require.NotEmpty(t, e.attr("audit.action.name"))
	require.NotEmpty(t, e.attr("audit.action.resource"))
	if at := e.attr("audit.approval.at"); at != "" {
		approved, err := time.Parse(time.RFC3339, at)
		require.NoError(t, err)
		require.True(t, approved.Before(e.at))
	}
	switch e.attr("audit.action.effect") {
	case "committed":
		require.Equal(t, "tool_call", cause.class)
		require.Equal(t, "ok", cause.attr("audit.status"))
		require.Equal(t, cause.attr("audit.idempotency_key"), e.attr("audit.idempotency_key"))
		require.NotEqual(t, "rejected", e.attr("audit.approval.decision"))
		require.NotEmpty(t, e.attr("audit.action.external_id"))
	case "failed":
		require.Equal(t, "tool_call", cause.class)
		require.Equal(t, "error", cause.attr("audit.status"))
	case "planned":
		require.Equal(t, "output", cause.class)
		require.Equal(t, "rejected", e.attr("audit.approval.decision"))
	}
	for cause.text("causationid") != "" {
		cause = byID[cause.text("causationid")]
	}
	require.Equal(t, "prompt", cause.class, "every action leads back to a prompt")
}

// TestUsersComeBack sees that the same user has the same name in every session.
func TestUsersComeBack(t *testing.T) {
	lines, _ := generate(t, with(func(o *gen.Options) { o.Events, o.Tenants = 20_000, 1 }))
	mail, sessions := map[string]string{}, map[string]map[string]bool{}
	events := parse(t, lines)
	for i := range events {
		e := &events[i]
		arguments, _ := e.data["gen_ai.tool.call.arguments"].(map[string]any)
		to, _ := arguments["to"].(string)
		user := e.text("subject")
		if user == "" || e.class != "tool_call" || e.attr("gen_ai.tool.name") != "send_email" {
			continue
		}
		if mail[user] == "" {
			mail[user], sessions[user] = to, map[string]bool{}
		}
		require.Equal(t, mail[user], to)
		sessions[user][e.text("sessionid")] = true
	}
	most := 0
	for _, s := range sessions {
		most = max(most, len(s))
	}
	require.Greater(t, most, 1)
}
