package gen

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// model is what an agent thinks with. Prices are made up to be like real ones.
type model struct {
	provider, request, response string
	in, out                     int64 // price of a token, in billionths of the currency
	currency                    string
	median                      int64 // ms that an answer takes
}

var models = []model{
	{"openai", "gpt-4o", "gpt-4o-2024-08-06", 2500, 10000, "USD", 1900},
	{"openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", 150, 600, "USD", 1100},
	{"anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", 3000, 15000, "USD", 2400},
	{"mistral_ai", "mistral-large-latest", "mistral-large-2411", 1800, 5400, "EUR", 2100},
}

// agent is one of the cast. Its instructions and tools are ready for an event.
type agent struct {
	id, name, version, source string
	service                   string // the account that starts sessions where no user does
	key                       uint64
	role                      *role
	model                     *model
	system                    string // JSON
	systemSHA256              string
	tools                     string // JSON
	toolsSHA256               string
}

// cast is who takes part in the sessions.
type cast struct {
	agents  []agent
	tenants []string
}

func newCast(o *Options) *cast {
	c := &cast{agents: make([]agent, o.Agents), tenants: make([]string, o.Tenants)}
	all := roles()
	tools := make([]string, len(all))
	for i := range all {
		tools[i] = definitions(&all[i])
	}
	for i := range c.agents {
		key := mix2(o.Seed, uint64(i)|1<<40)
		r := i % len(all)
		a := &c.agents[i]
		*a = agent{key: key, role: &all[r], model: &models[key%uint64(len(models))], tools: tools[r], toolsSHA256: digest(tools[r])}
		a.id = fmt.Sprintf("%s-%d", a.role.name, i/len(all)+1)
		a.name = fmt.Sprintf("%s %d", a.role.title, i/len(all)+1)
		a.source = "/agents/" + a.id
		a.service = "svc-" + a.id
		a.version = fmt.Sprintf("%d.%d.%d", 1+key>>8%4, key>>16%10, key>>24%20)
		k := same(key)
		a.system = string(append(a.role.system.append([]byte(`[{"type":"text","content":"`), &k), `"}]`...))
		a.systemSHA256 = digest(a.system)
	}
	for i := range c.tenants {
		c.tenants[i] = tenantNames[i%len(tenantNames)]
		if n := i / len(tenantNames); n > 0 {
			c.tenants[i] += fmt.Sprintf("-%d", n+1)
		}
	}
	return c
}

var tenantNames = []string{"acme", "globex", "initech", "umbra", "stark-tools", "wonka", "hooli", "vandelay", "soylent", "tyrell", "cyberdyne", "aperture"}

// definitions are the tools of a role as its model is told of them.
func definitions(r *role) string {
	type definition struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	var list []definition
	for _, t := range slices.Concat(r.reads, r.writes) {
		list = append(list, definition{t.kind, t.name})
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
