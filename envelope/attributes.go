package envelope

import "encoding/binary"

// role is what the decoder does with a key.
type role uint8

const (
	roleNone     role = iota // unknown, or known and without a column
	roleColumn               // fills a column
	roleRequired             // fills a column, and must be there
	roleFallback             // fills a column where the context attribute is absent
	roleSpecVersion
	roleData
	roleTraceparent
)

// attribute is a key that the decoder knows.
type attribute struct {
	name    string
	label   []byte // name, for the list of misfits
	role    role
	column  ColumnID
	slot    uint8 // its bit in the set of keys seen
	tracked bool  // standing twice makes a dead letter
}

// longContent are keys of data that are known and stay in the payload only.
var longContent = []string{
	"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions",
	"gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.retrieval.query.text", "gen_ai.retrieval.documents",
}

// contextKeys and dataKeys know every attribute of the two levels.
var contextKeys, dataKeys = buildTables()

func buildTables() (top, data *keyTable) {
	top, data = &keyTable{}, &keyTable{}
	top.add(attribute{name: "specversion", role: roleSpecVersion, tracked: true})
	top.add(attribute{name: "data", role: roleData, tracked: true})
	top.add(attribute{name: "data_base64"})
	for i, c := range Columns {
		a := attribute{column: ColumnID(i), role: roleColumn, tracked: true}
		if c.Context != "" {
			a.name = c.Context
			switch {
			case c.Context == "traceparent":
				a.role = roleTraceparent
			case c.Required:
				a.role = roleRequired
			}
			top.add(a)
		}
		if c.Data != "" {
			a.name, a.role = c.Data, roleColumn
			if c.Context != "" {
				a.role = roleFallback
			}
			data.add(a)
		}
	}
	for _, name := range longContent {
		data.add(attribute{name: name})
	}
	return top, data
}

// keyTable finds attributes by key: a multiplicative hash of the key's first
// and last eight bytes, open addressing.
type keyTable struct {
	slots [512]*attribute
	count uint8
}

func hashKey(key []byte) uint64 {
	var first, last uint64
	if n := len(key); n >= 8 {
		first, last = binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[n-8:])
	} else {
		for _, c := range key {
			first = first<<8 | uint64(c)
		}
	}
	h := (first^uint64(len(key))*0x9E3779B97F4A7C15)*0xD6E8FEB86659FD93 ^ last*0xA0761D6478BD642F
	return (h ^ h>>29) * 0xBF58476D1CE4E5B9 >> 55
}

func (t *keyTable) add(a attribute) {
	a.slot, a.label = t.count, []byte(a.name)
	t.count++
	i := hashKey([]byte(a.name))
	for t.slots[i] != nil {
		i = (i + 1) % uint64(len(t.slots))
	}
	t.slots[i] = &a
}

// find returns the attribute of a key, nil if it is unknown.
func (t *keyTable) find(key []byte) *attribute {
	for i := hashKey(key); ; i = (i + 1) % uint64(len(t.slots)) {
		a := t.slots[i]
		if a == nil || a.name == string(key) {
			return a
		}
	}
}

// keySet is the keys of one object that were seen already.
type keySet [2]uint64

// add reports whether the key was new.
func (s *keySet) add(slot uint8) bool {
	word, bit := &s[slot>>6], uint64(1)<<(slot&63)
	had := *word&bit != 0
	*word |= bit
	return !had
}
