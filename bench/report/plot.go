package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/csi-9p/csi-9p/bench/measure"
)

// colours are of the lines and dots, told apart by most colour-blind eyes as well (Okabe and Ito).
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#000000"}

const (
	plotWidth = 860
	fontSize  = 12
)

// drawing is an SVG in the making.
type drawing struct{ b strings.Builder }

func (d *drawing) line(x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(&d.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, colour)
}

func (d *drawing) dot(x, y float64, colour string) {
	fmt.Fprintf(&d.b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x, y, colour)
}

// text writes at a point; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor, s string) {
	fmt.Fprintf(&d.b, `<text x="%.1f" y="%.1f" text-anchor="%s">`, x, y, anchor)
	_ = xml.EscapeText(&d.b, []byte(s)) // a strings.Builder takes everything
	d.b.WriteString("</text>\n")
}

func (d *drawing) path(points [][2]float64, colour string, dashed bool) {
	dash := ""
	if dashed {
		dash = ` stroke-dasharray="5 3"`
	}
	d.b.WriteString(`<polyline fill="none" stroke-width="2" stroke="` + colour + `"` + dash + ` points="`)
	for _, p := range points {
		fmt.Fprintf(&d.b, "%.1f,%.1f ", p[0], p[1])
	}
	d.b.WriteString("\"/>\n")
}

func (d *drawing) write(w io.Writer, height float64) error {
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %d %.0f" font-family="sans-serif" font-size="%d">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, plotWidth, height, plotWidth, height, fontSize, d.b.String())
	return err
}

// WritePlot draws the report as SVG: a sweep as lines over the I/O size, anything else as dots, row by row, relative to
// the first column.
func (r *Report) WritePlot(w io.Writer) error {
	if r.Bench == "sweep" {
		return r.plotLines(w)
	}
	return r.plotDots(w)
}

// panel is a rectangle with a logarithmic axis upwards and equal steps to the right.
type panel struct {
	top, bottom, left, right float64
	low, high                float64 // of the axis
	steps                    int
}

func (p panel) x(i int) float64 {
	return p.left + (p.right-p.left)*float64(i)/float64(max(p.steps-1, 1))
}

func (p panel) y(v float64) float64 {
	part := math.Log(v/p.low) / math.Log(p.high/p.low)
	return p.bottom - (p.bottom-p.top)*part
}

// plotLines draws the rates of each table's columns, and below them the ratios.
func (r *Report) plotLines(w io.Writer) error {
	var d drawing
	steps := len(r.Tables[0].Rows)
	rates := panel{top: 40, bottom: 340, left: 80, right: plotWidth - 30, low: math.Inf(1), steps: steps}
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			for _, cell := range row.Results {
				rates.low, rates.high = min(rates.low, cell.Median), max(rates.high, cell.Median)
			}
		}
	}
	rates.low, rates.high = math.Pow(10, math.Floor(math.Log10(rates.low))), math.Pow(10, math.Ceil(math.Log10(rates.high)))
	for v := rates.low; v <= rates.high*1.001; v *= 10 {
		d.line(rates.left, rates.y(v), rates.right, rates.y(v), "#ddd")
		d.text(rates.left-6, rates.y(v)+4, "end", scaled(v)+"B/s")
	}
	below := panel{top: 380, bottom: 560, left: rates.left, right: rates.right, low: 0.5, high: 2, steps: steps}
	for _, v := range []float64{0.5, 0.7, 1, 1.4, 2} {
		d.line(below.left, below.y(v), below.right, below.y(v), map[bool]string{true: "#888", false: "#ddd"}[v == 1])
		d.text(below.left-6, below.y(v)+4, "end", fmt.Sprint(v))
	}
	d.text(below.left, below.top-8, "start", "ratio, zero copy on / off")
	for i, row := range r.Tables[0].Rows {
		d.text(below.x(i), below.bottom+18, "middle", strings.Replace(row.Name, "iB", "", 1))
	}
	r.drawLines(&d, rates, below)
	return d.write(w, 580)
}

func (r *Report) drawLines(d *drawing, rates, below panel) {
	x := rates.left
	for n, t := range r.Tables {
		for c, column := range t.Columns {
			var points [][2]float64
			for i, row := range t.Rows {
				points = append(points, [2]float64{rates.x(i), rates.y(row.Results[c].Median)})
			}
			d.path(points, colours[n], c == 0)
			d.path([][2]float64{{x, 16}, {x + 30, 16}}, colours[n], c == 0)
			d.text(x+36, 20, "start", t.Title+", zero copy "+column)
			x += 185
		}
		var points [][2]float64
		for i, row := range t.Rows {
			ratio := measure.RatioOf(row.Results[1], row.Results[0]).Median
			points = append(points, [2]float64{below.x(i), below.y(min(max(ratio, below.low), below.high))})
		}
		d.path(points, colours[n], false)
	}
}

// plotDots draws a row for each row of the tables that have the columns of the first one, a dot a column.
func (r *Report) plotDots(w io.Writer) error {
	const left, top, step = 300.0, 56.0, 16.0
	var d drawing
	first := r.Tables[0].Columns
	scale := panel{top: plotWidth - 30, bottom: left, low: 0.03, high: 30} // its axis goes to the right
	at := func(v float64) float64 { return scale.y(min(max(v, scale.low), scale.high)) }
	x := 10.0
	for i, column := range first {
		d.dot(x, 14, colours[i%len(colours)])
		d.text(x+8, 18, "start", column)
		x += 30 + 6.5*float64(utf8.RuneCountInString(column)) // about as wide as its letters
	}
	y := top
	for _, t := range r.Tables {
		if strings.Join(t.Columns, "\n") != strings.Join(first, "\n") {
			continue
		}
		d.text(10, y+4, "start", t.Title)
		y += step
		for _, row := range t.Rows {
			d.text(left-14, y+4, "end", row.Name)
			d.line(left, y, plotWidth-30, y, "#eee")
			for i, cell := range row.Results {
				if cell != nil && row.Results[0] != nil {
					d.dot(at(cell.Median/row.Results[0].Median), y, colours[i%len(colours)])
				}
			}
			y += step
		}
	}
	for _, v := range []float64{0.03, 0.1, 0.3, 1, 3, 10, 30} {
		d.line(at(v), top-8, at(v), y, map[bool]string{true: "#888", false: "#ddd"}[v == 1])
		d.text(at(v), top-14, "middle", fmt.Sprintf("%vx", v))
	}
	return d.write(w, y+10)
}
