package main

import (
	"fmt"
	"html"
	"strings"
)

// Sizes, in pixels.
const (
	laneWidth  = 160
	margin     = 10
	headHeight = 52
	lineHeight = 16
	partHeight = 44
	rowGap     = 20
)

const style = `
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1b1f24; text-anchor: middle }
.label { paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round }
.name { font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.part { font-size: 15px; font-weight: 600; text-anchor: start }
.page { fill: #ffffff }
.box { fill: #f3f5f8; stroke: #c4ccd6 }
.ours { fill: #dcebff; stroke: #2f6fd0 }
.life { stroke: #d5dbe2; stroke-dasharray: 3 4 }
.rule { stroke: #c4ccd6 }
.arrow { stroke: #2f6fd0; stroke-width: 1.5; fill: none }
.tip { fill: #2f6fd0 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6eaf0 }
  .label { stroke: #14181d }
  .small { fill: #a3adb8 }
  .page { fill: #14181d }
  .box { fill: #1f252c; stroke: #4a545f }
  .ours { fill: #17304f; stroke: #7fb0f5 }
  .life { stroke: #39424c }
  .rule { stroke: #4a545f }
  .arrow { stroke: #7fb0f5 }
  .tip { fill: #7fb0f5 }
}
`

// svg draws the diagram; the same diagram always gives the same bytes.
func (d diagram) svg() string {
	width := 2*margin + laneWidth*len(d.lanes)
	var body strings.Builder
	y := margin + headHeight + 12
	for _, r := range d.rows {
		y = d.row(&body, r, y, width)
	}
	height := y + margin

	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title desc">`+"\n", width, height)
	fmt.Fprintf(&out, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n", html.EscapeString(d.title), html.EscapeString(d.words()))
	fmt.Fprintf(&out, "<style>%s</style>\n<rect class=\"page\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", style, width, height)
	for i, l := range d.lanes {
		d.head(&out, i, l, height)
	}
	out.WriteString(body.String())
	out.WriteString("</svg>\n")
	return out.String()
}

// middle is the x of a lane.
func middle(lane int) int { return margin + laneWidth*lane + laneWidth/2 }

func (d diagram) head(w *strings.Builder, i int, l lane, height int) {
	class := "box"
	if l.id == "lanyard" {
		class = "box ours"
	}
	x := middle(i)
	fmt.Fprintf(w, "<line class=\"life\" x1=\"%[1]d\" y1=\"%[2]d\" x2=\"%[1]d\" y2=\"%[3]d\"/>\n", x, margin+headHeight, height-margin)
	fmt.Fprintf(w, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", class, x-laneWidth/2+8, margin, laneWidth-16, headHeight)
	for n, line := range l.lines {
		class := "name"
		if n > 0 {
			class = "small"
		}
		fmt.Fprintf(w, "<text class=\"%s\" x=\"%d\" y=\"%d\">%s</text>\n", class, x, margin+22+18*n, html.EscapeString(line))
	}
}

// row draws one row below y and returns where the next one begins.
func (d diagram) row(w *strings.Builder, r row, y, width int) int {
	if r.from == r.to {
		y += partHeight
		fmt.Fprintf(w, "<line class=\"rule\" x1=\"%d\" y1=\"%[3]d\" x2=\"%[2]d\" y2=\"%[3]d\"/>\n", margin+8, width-margin-8, y-26)
		fmt.Fprintf(w, "<text class=\"label part\" x=\"%d\" y=\"%d\">%s</text>\n", margin+8, y-6, html.EscapeString(r.lines[0]))
		return y
	}
	from, to := middle(r.from), middle(r.to)
	y += rowGap
	for _, line := range r.lines {
		fmt.Fprintf(w, "<text class=\"label\" x=\"%d\" y=\"%d\">%s</text>\n", (from+to)/2, y, html.EscapeString(line))
		y += lineHeight
	}
	y -= lineHeight - 8
	tip := 8
	if to < from {
		tip = -8
	}
	fmt.Fprintf(w, "<line class=\"arrow\" x1=\"%d\" y1=\"%[3]d\" x2=\"%[2]d\" y2=\"%[3]d\"/>\n", from, to-tip, y)
	fmt.Fprintf(w, "<path class=\"tip\" d=\"M%d %d l%d -4 v8 z\"/>\n", to, y, -tip)
	return y
}

// words tells the picture to whoever does not see it.
func (d diagram) words() string {
	var out []string
	for _, r := range d.rows {
		text := strings.Join(r.lines, " ")
		if r.from != r.to {
			text = d.lanes[r.from].lines[0] + " to " + d.lanes[r.to].lines[0] + ": " + text
		}
		out = append(out, strings.TrimSuffix(text, ".")+".")
	}
	return strings.Join(out, " ")
}
