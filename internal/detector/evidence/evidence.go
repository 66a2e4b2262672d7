// Package evidence judges what signs of life prove: a [Watch] counts the silence of one
// host, a [Pulse] all signs of one server, [Isolation] whether it is this server that is
// cut off, [StandIns] who answers in the place of others. It takes time as a value and
// does nothing but compute; who is asked, and heard, is the work of package detector.
package evidence
