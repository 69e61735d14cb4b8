package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Milliseconds is a lateness as the demo's JSON has it.
type Milliseconds struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Summary is the lateness in milliseconds. The maximum is exact to a thousandth of its value, as the others are.
func Summary(h *hdrhistogram.Histogram) Milliseconds {
	return Milliseconds{
		P50: float64(h.ValueAtQuantile(50)) / 1000,
		P99: float64(h.ValueAtQuantile(99)) / 1000,
		Max: float64(h.Max()) / 1000,
	}
}

// bounds are the upper ends of the histogram's bars.
var bounds = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, longest,
}

// Bar is a bar of a histogram: how many were late by up to Below, and by more than the bar before says.
type Bar struct {
	Below time.Duration
	Count int64
}

// Bars sorts what a histogram holds into bars, from the first to the last that is not empty.
func Bars(h *hdrhistogram.Histogram) []Bar {
	bars := make([]Bar, len(bounds))
	for i, b := range bounds {
		bars[i].Below = b
	}
	for _, d := range h.Distribution() {
		late := time.Duration(d.From) * time.Microsecond
		for i, b := range bounds {
			if late <= b {
				bars[i].Count += d.Count
				break
			}
		}
	}
	last := 0
	for i, b := range bars {
		if b.Count > 0 {
			last = i
		}
	}
	return bars[:last+1]
}

// Draw draws a histogram of at most so many columns.
func Draw(h *hdrhistogram.Histogram, width int) string {
	bars := Bars(h)
	var most int64 = 1
	for _, b := range bars {
		most = max(most, b.Count)
	}
	var out strings.Builder
	for _, b := range bars {
		label := "≤ " + b.Below.String()
		if b.Below == longest {
			label = "> 1s"
		}
		n := int(b.Count * int64(width) / most)
		if b.Count > 0 {
			n = max(n, 1) // a single one is seen
		}
		fmt.Fprintf(&out, "%9s  %8d  %s\n", label, b.Count, strings.Repeat("█", n))
	}
	return out.String()
}
