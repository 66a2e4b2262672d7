#!/bin/sh
# The software of a LIM in the lab, as an exec: service: a daemon that answers
# what is sent to the alias. It lies in the lab folder.
lab=${0%/*}
pidfile=$lab/$MXCLUSTER_SERVER/run/exchange-$MXCLUSTER_LIM.pid

running() {
	[ -r "$pidfile" ] && read -r pid <"$pidfile" && kill -0 "$pid" 2>/dev/null
}

# What it was last told to be, and with which data, for those who look.
told() {
	echo "$MXCLUSTER_ROLE ${MXCLUSTER_XDATA##*/}" >"$lab/$MXCLUSTER_SERVER/run/exchange-$MXCLUSTER_LIM.told"
}

case $1 in
start)
	if [ -e "$lab/$MXCLUSTER_SERVER/broken" ]; then
		echo "made to fail by 'mxcluster lab fail'"
		exit 1
	fi
	told
	running && exit 0
	# The daemon closes its output once it answers, or ends with a reason.
	said=$("$lab/bin/mxcluster" lab exchange --lab "$lab" 2>&1 &)
	[ "$said" = ready ] && exit 0
	echo "$said"
	exit 1
	;;
stop)
	running && kill "$pid"
	while running; do sleep 0.01; done
	rm -f "$pidfile"
	;;
status) running || exit 3 ;;
reload) told ;;
*)
	echo "usage: ${0##*/} start|stop|status|reload"
	exit 64
	;;
esac
