package feed

import (
	"bytes"
	"encoding/json"
)

// member finds the value of a key in the object that begins at b[at]: it is
// b[from:to]. What it walks over must be JSON that the decoder has accepted; of
// a key that stands twice it finds the first.
func member(b []byte, at int, key string) (from, to int, ok bool) {
	for i := at; b[i] != '}'; i = blank(b, to) {
		name := blank(b, i+1) // past the brace or the comma
		if b[name] == '}' {
			break
		}
		end := skip(b, name)
		from = blank(b, blank(b, end)+1) // past the colon
		to = skip(b, from)
		if isKey(b[name:end], key) {
			return from, to, true
		}
	}
	return 0, 0, false
}

// isKey compares a JSON string with a text.
func isKey(quoted []byte, text string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == text
	}
	var key string
	return json.Unmarshal(quoted, &key) == nil && key == text
}

func blank(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

// skip returns where the value that begins at b[i] ends.
func skip(b []byte, i int) int {
	for depth := 0; ; i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']', ',', ' ', '\t', '\r', '\n':
			if depth == 0 { // the end of a number or a word
				return i
			}
			if b[i] != '}' && b[i] != ']' {
				continue
			}
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}
