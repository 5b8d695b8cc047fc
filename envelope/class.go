package envelope

import "bytes"

// ClassOther is the class of events whose type names none.
const ClassOther = "other"

var agentSegment = []byte("agent")

// classOf takes the class from a type: the type ends in agent.<class> or
// agent.<class>.v<N>, at a dot or at the start. Where both readings fit
// (agent.agent.v2), the versioned one wins.
func classOf(typ []byte) []byte {
	head, last := cutLast(typ)
	if isVersion(last) {
		if h, class := cutLast(head); isClass(class) && endsInAgent(h) {
			return class
		}
	}
	if isClass(last) && endsInAgent(head) {
		return last
	}
	return []byte(ClassOther)
}

// cutLast splits at the last dot; without one, all is last.
func cutLast(b []byte) (head, last []byte) {
	if i := bytes.LastIndexByte(b, '.'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return nil, b
}

func endsInAgent(head []byte) bool {
	_, last := cutLast(head)
	return bytes.Equal(last, agentSegment)
}

func isVersion(b []byte) bool {
	if len(b) < 2 || b[0] != 'v' {
		return false
	}
	for _, c := range b[1:] {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

func isClass(b []byte) bool {
	if len(b) < 1 || len(b) > 64 {
		return false
	}
	for _, c := range b {
		if (c < 'a' || c > 'z') && !isDigit(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
