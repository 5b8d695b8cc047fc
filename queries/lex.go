package queries

import (
	"regexp"
	"strings"
)

var (
	paramUse    = regexp.MustCompile(`^\$[a-z_]\w*`)
	dollarQuote = regexp.MustCompile(`^\$(?:[A-Za-z_\x{80}-\x{10ffff}][\w\x{80}-\x{10ffff}]*)?\$`)
	wordOfSQL   = regexp.MustCompile(`^[A-Za-z_\x{80}-\x{10ffff}][\w$\x{80}-\x{10ffff}]*`)
)

// mapParams replaces each $parameter of an SQL text. What stands in literals,
// quoted names and comments is text and stays as it is.
func mapParams(text string, with func(use string) string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := tokenLen(text)
		token := text[:n]
		text = text[n:]
		if paramUse.FindString(token) == token {
			token = with(token)
		}
		b.WriteString(token)
	}
	return b.String()
}

// tokenLen is the length of what a text begins with, as far as it matters here: a
// literal, a comment, a word, a parameter, or one byte of anything else. What has
// no end goes to the end of the text.
func tokenLen(text string) int {
	if quote := dollarQuote.FindString(text); quote != "" {
		return closed(text, len(quote), quote)
	}
	if use := paramUse.FindString(text); use != "" {
		return len(use)
	}
	if word := wordOfSQL.FindString(text); word != "" {
		if strings.EqualFold(word, "e") && strings.HasPrefix(text[1:], "'") {
			return escapedLen(text)
		}
		return len(word)
	}
	switch {
	case strings.HasPrefix(text, "--"):
		return closed(text, 2, "\n")
	case strings.HasPrefix(text, "/*"):
		return commentLen(text)
	case text[0] == '\'' || text[0] == '"': // a quote that is doubled begins the next one
		return closed(text, 1, text[:1])
	}
	return 1
}

// closed is the length up to and with what closes a token of which n bytes are read.
func closed(text string, n int, by string) int {
	if i := strings.Index(text[n:], by); i >= 0 {
		return n + i + len(by)
	}
	return len(text)
}

// escapedLen is that of E'it\'s'.
func escapedLen(text string) int {
	for i := 2; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\'':
			return i + 1
		}
	}
	return len(text)
}

// commentLen is that of a comment, in which comments may stand.
func commentLen(text string) int {
	depth := 0
	for i := 0; i < len(text)-1; i++ {
		switch text[i : i+2] {
		case "/*":
			depth, i = depth+1, i+1
		case "*/":
			if depth, i = depth-1, i+1; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}
