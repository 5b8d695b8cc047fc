package queries

import (
	"database/sql"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// A cell of a table is cut here even where the terminal is wide enough: texts
// of the payload are long.
const (
	maxCell = 120 // terminal columns
	minCell = 6
)

// printTable writes rows for people: numbers to the right, NULL visible, wide
// texts cut with an ellipsis so that the table fits width (0 is any).
func printTable(w io.Writer, names []string, right []bool, rows [][]sql.NullString, width int, more bool) error {
	cells := make([][]string, len(rows))
	for i, row := range rows {
		cells[i] = make([]string, len(row))
		for j, v := range row {
			if cells[i][j] = "NULL"; v.Valid {
				cells[i][j] = visible(v.String)
			}
		}
	}
	widths := columnWidths(names, cells, right, width)
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	header, configs := table.Row{}, []table.ColumnConfig{}
	for i, name := range names {
		header = append(header, snip(visible(name), widths[i]))
		align := text.AlignLeft
		if right[i] {
			align = text.AlignRight
		}
		configs = append(configs, table.ColumnConfig{Number: i + 1, Align: align, AlignHeader: align})
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, row := range cells {
		line := make(table.Row, len(row))
		for i, cell := range row {
			line[i] = snip(cell, widths[i])
		}
		t.AppendRow(line)
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", t.Render(), footer(len(rows), more))
	return err
}

func footer(rows int, more bool) string {
	switch {
	case more:
		return fmt.Sprintf("(the first %s rows; there are more: --limit shows more, -o csv writes all)", humanize.Comma(int64(rows)))
	case rows == 1:
		return "(1 row)"
	}
	return fmt.Sprintf("(%s rows)", humanize.Comma(int64(rows)))
}

// visible keeps what agents wrote from steering the terminal: line ends show as
// a sign, other control characters as escapes.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteRune('↵')
		case r == '\t':
			b.WriteByte(' ')
		case unicode.IsPrint(r) || r == '\u200d' || r == '\ufe0f': // joiners of emoji
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func snip(s string, width int) string { return text.Snip(s, width, "…") }

// columnWidths shares the width of the terminal: texts give way from the widest
// down. A number that is cut is another number, so those keep their width.
func columnWidths(names []string, cells [][]string, fixed []bool, width int) []int {
	widths := make([]int, len(names))
	for i, name := range names {
		widths[i] = text.StringWidthWithoutEscSequences(visible(name))
		for _, row := range cells {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(row[i]))
		}
		widths[i] = min(widths[i], maxCell)
	}
	if width <= 0 {
		return widths
	}
	room := width - 3*len(widths) - 1 // "│ a │ b │"
	for total := sum(widths); total > room; total-- {
		widest := -1
		for i := range widths {
			if !fixed[i] && widths[i] > minCell && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

func sum(values []int) (total int) {
	for _, v := range values {
		total += v
	}
	return total
}
