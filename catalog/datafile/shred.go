package datafile

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// node is one field of the Arrow schema on its way to leaf columns. Levels are
// Dremel's: def counts the optional and repeated fields down to a value, rep
// the repeated ones.
type node struct {
	nullable bool
	def      int // definition level of a value that is there, at this node
	rep      int // repetition level of a list's further elements
	leaf     *leaf
	children []*node // fields of a struct, the element of a list
	list     bool

	// Of the record batch being written.
	arr arrow.Array
	src source
}

// newNode makes the nodes of a field and, in the order of the Parquet schema,
// its leaves. def and rep are the parent's levels.
func newNode(f arrow.Field, def, rep int, add func(arrow.DataType) (*leaf, error)) (*node, error) {
	n := &node{nullable: f.Nullable, def: def, rep: rep}
	if f.Nullable {
		n.def++
	}
	child := func(f arrow.Field, def, rep int) error {
		c, err := newNode(f, def, rep, add)
		n.children = append(n.children, c)
		return err
	}
	switch t := f.Type.(type) {
	case *arrow.StructType:
		for _, field := range t.Fields() {
			if err := child(field, n.def, rep); err != nil {
				return nil, err
			}
		}
		return n, nil
	case *arrow.ListType, *arrow.MapType:
		n.list, n.rep = true, rep+1
		return n, child(t.(arrow.ListLikeType).ElemField(), n.def+1, n.rep)
	}
	var err error
	n.leaf, err = add(f.Type)
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", f.Name, err)
	}
	n.leaf.maxDef, n.leaf.maxRep = n.def, rep
	return n, nil
}

// layoutOf is how values of an Arrow type are written as a Parquet column.
func layoutOf(t arrow.DataType, c *schema.Column) (k kind, width int, err error) {
	if ext, ok := t.(arrow.ExtensionType); ok {
		t = ext.StorageType()
	}
	switch t := t.(type) {
	case *arrow.StringType, *arrow.BinaryType:
		return kindText, 0, nil
	case *arrow.FixedSizeBinaryType:
		return kindFixed, t.ByteWidth, nil
	case *arrow.BooleanType:
		return kindBool, 0, nil
	case *arrow.Int32Type, *arrow.Date32Type:
		return kindInt32, 4, nil
	case *arrow.Int64Type, *arrow.TimestampType, *arrow.Time64Type:
		return kindInt64, 8, nil
	case *arrow.Float32Type:
		return kindFloat32, 4, nil
	case *arrow.Float64Type:
		return kindFloat64, 8, nil
	case *arrow.Decimal128Type:
		switch c.PhysicalType() {
		case parquet.Types.Int32:
			return kindDecimal32, 4, nil
		case parquet.Types.Int64:
			return kindDecimal64, 8, nil
		}
		return kindDecimalFixed, c.TypeLength(), nil
	}
	return 0, 0, fmt.Errorf("no way to write Arrow type %s to a data file", t)
}

// bind makes arr the node's rows in the record batch being written.
func (n *node) bind(arr arrow.Array) {
	if ext, ok := arr.(array.ExtensionArray); ok {
		arr = ext.Storage()
	}
	n.arr = arr
	switch {
	case n.leaf != nil:
		n.src = sourceOf(arr, n.leaf)
	case n.list:
		n.children[0].bind(arr.(array.ListLike).ListValues())
	default:
		for i, c := range n.children {
			c.bind(arr.(*array.Struct).Field(i))
		}
	}
}

func (n *node) unbind() {
	n.arr, n.src = nil, source{}
	for _, c := range n.children {
		c.unbind()
	}
}

func sourceOf(arr arrow.Array, c *leaf) source {
	data := arr.Data()
	s := source{n: arr.Len(), nulls: arr.NullN(), offset: data.Offset()}
	buffers := data.Buffers()
	if s.nulls > 0 {
		s.valid = buffers[0].Bytes()
	}
	if s.n == 0 || buffers[1] == nil {
		return s
	}
	switch c.kind {
	case kindText:
		s.offsets = view[int32](buffers[1].Bytes(), s.offset, s.n+1)
		if buffers[2] != nil {
			s.data = buffers[2].Bytes()
		}
	case kindBool:
		s.data = buffers[1].Bytes()
	case kindDecimal32, kindDecimal64, kindDecimalFixed:
		s.data = buffers[1].Bytes()[16*s.offset:]
	default:
		s.data = buffers[1].Bytes()[c.width*s.offset:]
	}
	return s
}

// write appends the rows of the bound array.
func (n *node) write() {
	if n.leaf != nil {
		n.leaf.write(&n.src)
		return
	}
	rows := n.arr.Len()
	if n.arr.NullN() == rows {
		n.absent(rows)
		return
	}
	for i := range rows {
		n.visit(i, 0)
		n.endRow()
	}
}

// absent appends rows that are all NULL.
func (n *node) absent(rows int) {
	for rows > 0 {
		k := rows
		n.leaves(func(c *leaf) { k = min(k, max(pageRows-c.levels, 1)) })
		n.leaves(func(c *leaf) {
			c.defs, c.reps = c.m.grow(c.defs, k), c.m.grow(c.reps, k)
			for range k {
				c.defs, c.reps = append(c.defs, byte(n.def-1)), append(c.reps, 0)
			}
			c.levels += k
		})
		n.endRow()
		rows -= k
	}
}

// visit appends value i of the node; rep is the level at which it repeats.
func (n *node) visit(i int, rep byte) {
	if n.nullable && n.arr.IsNull(i) {
		n.missing(rep, n.def-1)
		return
	}
	switch {
	case n.leaf != nil:
		n.leaf.level(rep, n.def)
		n.leaf.appendRun(&n.src, i, 1)
	case n.list:
		from, to := n.arr.(array.ListLike).ValueOffsets(i)
		if from == to {
			n.missing(rep, n.def)
			return
		}
		for j := from; j < to; j++ {
			n.children[0].visit(int(j), rep)
			rep = byte(n.rep)
		}
	default:
		for _, c := range n.children {
			c.visit(i, rep)
		}
	}
}

// missing tells every leaf that there is nothing below level def.
func (n *node) missing(rep byte, def int) {
	n.leaves(func(c *leaf) { c.level(rep, def) })
}

// endRow ends the leaves' pages where they are full; a row is never divided.
func (n *node) endRow() {
	n.leaves(func(c *leaf) {
		if c.levels >= pageRows || len(c.values) >= c.limit {
			c.flushPage()
		}
		c.judgeDict()
	})
}

func (n *node) leaves(fn func(*leaf)) {
	if n.leaf != nil {
		fn(n.leaf)
	}
	for _, c := range n.children {
		c.leaves(fn)
	}
}

func (c *leaf) level(rep byte, def int) {
	c.defs, c.reps = c.m.grow(c.defs, 1), c.m.grow(c.reps, 1)
	c.defs, c.reps = append(c.defs, byte(def)), append(c.reps, rep)
	c.levels++
}
