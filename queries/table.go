package queries

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// A cell of a table is cut here even where the terminal is wide enough: texts
// of the payload are long.
const (
	maxCell = 120 // terminal columns
	minCell = 6
	// maxRunes are those of a cell that DuckDB hands out for a table, and one more
	// where there are more: enough for maxCell columns of any writing, and no text of
	// megabytes.
	maxRunes = 600
)

// printTable writes rows for people: numbers to the right, NULL visible, wide
// texts cut with an ellipsis so that the table fits width (0 is any). Where not
// even that fits, each row is a list of its columns. The last line says what is
// not shown.
func printTable(ctx context.Context, w io.Writer, names []string, right, whole []bool, rows [][]sql.NullString, width int, more bool) error {
	p := page{names: make([]string, len(names)), right: right, whole: whole, cells: make([][]string, len(rows)), width: width}
	for i, name := range names {
		p.names[i] = Visible(name)
	}
	for i, row := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.cells[i] = make([]string, len(row))
		for j, v := range row {
			if p.cells[i][j] = "NULL"; v.Valid {
				p.cells[i][j] = p.visible(v.String)
			}
		}
	}
	text := ""
	if widths, fits := p.columnWidths(); fits {
		text = p.table(widths)
	} else {
		text = p.records()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", text, p.footer(more))
	return err
}

// page is what is printed.
type page struct {
	names []string
	right []bool // columns of numbers
	whole []bool // columns that are never made narrower
	cells [][]string
	width int
	cut   bool // a cell was cut
}

func (p *page) table(widths []int) string {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	header, configs := table.Row{}, []table.ColumnConfig{}
	for i, name := range p.names {
		header = append(header, p.snip(name, widths[i]))
		align := text.AlignLeft
		if p.right[i] {
			align = text.AlignRight
		}
		configs = append(configs, table.ColumnConfig{Number: i + 1, Align: align, AlignHeader: align})
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, row := range p.cells {
		line := make(table.Row, len(row))
		for i, cell := range row {
			line[i] = p.snip(cell, widths[i])
		}
		t.AppendRow(line)
	}
	return t.Render()
}

// records lists the columns of each row below one another.
func (p *page) records() string {
	first := 0
	for _, name := range p.names {
		first = max(first, displayWidth(name))
	}
	first = min(first, max(minCell, p.width/2))
	second := max(minCell, p.width-first-len(" | "))
	var b strings.Builder
	for n, row := range p.cells {
		title := fmt.Sprintf("── row %d ", n+1)
		fmt.Fprintf(&b, "%s%s\n", title, strings.Repeat("─", max(0, p.width-displayWidth(title))))
		for i, cell := range row {
			fmt.Fprintf(&b, "%s │ %s\n", text.Pad(p.snip(p.names[i], first), first, ' '), p.snip(cell, second))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (p *page) footer(more bool) string {
	var out string
	switch n := humanize.Comma(int64(len(p.cells))); {
	case more:
		out = fmt.Sprintf("the first %s rows; there are more: --limit shows more, -o csv writes all", n)
	case len(p.cells) == 1:
		out = "1 row"
	default:
		out = n + " rows"
	}
	if p.cut {
		out += "; … is where a text was cut: -o csv writes it whole"
	}
	return "(" + out + ")"
}

// visible is a cell as it is shown, of a text that tableExpr may have cut.
func (p *page) visible(s string) string {
	if utf8.RuneCountInString(s) > maxRunes {
		_, size := utf8.DecodeLastRuneInString(s)
		p.cut, s = true, s[:len(s)-size]+"…"
	}
	return Visible(s)
}

// Visible keeps what agents wrote from steering the terminal: line ends show as
// a sign, other control characters as escapes.
func Visible(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteRune('↵')
		case r == '\t':
			b.WriteByte(' ')
		case !unprintable(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// unprintable reports whether a character may steer a terminal. Spaces of other
// widths and the joiners of emoji do not.
func unprintable(r rune) bool {
	return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) && r != '\u200d' && r != '\ufe0f'
}

func (p *page) snip(s string, width int) string {
	p.cut = p.cut || displayWidth(s) > width
	return text.Snip(s, width, "…")
}

func displayWidth(s string) int { return text.StringWidthWithoutEscSequences(s) }

// columnWidths shares the width of the terminal: texts give way from the widest
// down. A number or a time that is cut is another one, so those keep their width.
func (p *page) columnWidths() (widths []int, fits bool) {
	widths = make([]int, len(p.names))
	total := 1 // "│ a │ b │"
	for i, name := range p.names {
		widths[i] = displayWidth(name)
		for _, row := range p.cells {
			widths[i] = max(widths[i], displayWidth(row[i]))
		}
		widths[i] = min(widths[i], maxCell)
		total += widths[i] + 3
	}
	if p.width <= 0 {
		return widths, true
	}
	for ; total > p.width; total-- {
		widest := -1
		for i := range widths {
			if !p.whole[i] && widths[i] > minCell && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return nil, false
		}
		widths[widest]--
	}
	return widths, true
}
