package xdata

func widenSocket(int, int) {}
