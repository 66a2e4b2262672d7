package xdata

// shortened leaves out the middle of a text that nobody wants to read whole.
func shortened(text string) string {
	const ends = 100
	if len(text) <= 2*ends {
		return text
	}
	return text[:ends] + "…" + text[len(text)-ends:]
}
