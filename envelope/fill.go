package envelope

// fill gives a column its value if the token has exactly one reading in the
// column's type; else the attribute is a misfit. null is absent.
func (s *eventScan) fill(a *attribute, t *token) {
	if t.kind == kindNull {
		return
	}
	if !s.convert(Columns[a.column].Kind, t, &s.ev.values[a.column]) {
		s.ev.Misfits = append(s.ev.Misfits, a.label)
		return
	}
	s.ev.mark(a.column)
}

// misfit reports whether an attribute was named a misfit.
func (s *eventScan) misfit(name string) bool {
	for _, m := range s.ev.Misfits {
		if string(m) == name {
			return true
		}
	}
	return false
}

func (s *eventScan) fillTraceparent(a *attribute, t *token) {
	if t.kind == kindNull {
		return
	}
	if t.kind == kindString {
		if trace, span, ok := parseTraceparent(s.text(t)); ok {
			s.ev.Set(ColTraceID, Value{Text: trace})
			s.ev.Set(ColSpanID, Value{Text: span})
			return
		}
	}
	s.ev.Misfits = append(s.ev.Misfits, a.label)
}

// convert sets the field of v that k uses. Where it reports false, v is anything.
func (s *eventScan) convert(k Kind, t *token, v *Value) bool {
	switch k {
	case Text:
		switch t.kind {
		case kindString:
			v.Text = s.text(t)
		case kindNumber, kindBool:
			v.Text = t.raw
		default:
			return false
		}
		return true
	case Timestamp:
		if t.kind != kindString {
			return false
		}
		var ok bool
		v.Int, ok = parseTime(s.text(t))
		return ok
	case TextList:
		return s.list(t, v)
	}
	return s.convertNumber(k, t, v)
}

func (s *eventScan) convertNumber(k Kind, t *token, v *Value) bool {
	number := t.raw
	switch t.kind {
	case kindNumber:
	case kindString:
		number = s.text(t)
		if !isNumber(number, k == Sequence) {
			return false
		}
	default:
		return false
	}
	var ok bool
	switch k {
	case Integer, Sequence:
		v.Int, ok = parseInteger(number)
	case Count:
		v.Int, ok = parseInteger(number)
		ok = ok && v.Int >= 0
	case Decimal9:
		v.Int, ok = parseDecimal9(number)
	case Double:
		v.Float, ok = parseDouble(number, 0)
	case Seconds:
		v.Float, ok = parseDouble(number, 3)
	}
	return ok
}

// list takes a list of strings, or one string.
func (s *eventScan) list(t *token, v *Value) bool {
	list := s.ev.listBuf[:0]
	switch t.kind {
	case kindString:
		list = append(list, s.text(t))
	case kindArray:
		// The array was read already: it is JSON, and no deeper than allowed.
		in := scanner{buf: t.raw, pos: 1}
		var e token
		for first := true; ; first = false {
			if more, _ := in.element(first); !more {
				break
			}
			in.value(&e)
			if e.kind != kindString {
				return false
			}
			list = append(list, s.text(&e))
		}
	default:
		return false
	}
	v.List, s.ev.listBuf = list, list
	return true
}
