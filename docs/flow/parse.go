package main

import (
	"fmt"
	"strings"
)

// diagram is a sequence of messages between lanes.
type diagram struct {
	title string
	lanes []lane
	rows  []row
}

type lane struct {
	id    string
	lines []string
}

// row is a message, or the title of a part where from and to are equal.
type row struct {
	from, to int // indexes of lanes
	lines    []string
}

func parse(text string) (diagram, error) {
	var d diagram
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := d.add(line); err != nil {
			return diagram{}, fmt.Errorf("flow.txt:%d: %w", n+1, err)
		}
	}
	return d, nil
}

func (d *diagram) add(line string) error {
	if title, ok := strings.CutPrefix(line, "part "); ok {
		d.rows = append(d.rows, row{lines: []string{title}})
		return nil
	}
	head, text, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("no colon in %q", line)
	}
	if head == "title" {
		d.title = strings.TrimSpace(text)
		return nil
	}
	if id, ok := strings.CutPrefix(head, "lane "); ok {
		d.lanes = append(d.lanes, lane{id: id, lines: lines(text)})
		return nil
	}
	from, to, ok := strings.Cut(head, "->")
	if !ok {
		return fmt.Errorf("no arrow in %q", head)
	}
	r := row{from: d.lane(from), to: d.lane(to), lines: lines(text)}
	if r.from < 0 || r.to < 0 || r.from == r.to {
		return fmt.Errorf("%q does not lead from one lane to another", head)
	}
	d.rows = append(d.rows, r)
	return nil
}

func (d *diagram) lane(id string) int {
	for i, l := range d.lanes {
		if l.id == strings.TrimSpace(id) {
			return i
		}
	}
	return -1
}

func lines(text string) []string {
	var out []string
	for line := range strings.SplitSeq(text, "|") {
		out = append(out, strings.TrimSpace(line))
	}
	return out
}
