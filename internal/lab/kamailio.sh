#!/bin/sh
# A telephone service as the software of a LIM in the lab, as an exec: service:
# Debian's kamailio, a SIP registrar and proxy, bound to the alias. Its database is
# a folder of text files, so that it can be backed up and started from. It lies in
# the lab folder.
d=${0%/*}/$MXCLUSTER_SERVER/run/kamailio-$MXCLUSTER_LIM
empty=/usr/share/kamailio/dbtext/kamailio

running() {
	[ -r "$d/pid" ] && read -r pid <"$d/pid" && kill -0 "$pid" 2>/dev/null
}

# The registrations of the data version that it is told, or none.
load() {
	mkdir -p "$d/db" && cp "$empty/version" "$empty/location" "$empty/location_attrs" "$d/db" || exit 1
	[ -z "$MXCLUSTER_XDATA" ] || [ ! -r "$MXCLUSTER_XDATA/location" ] || cp "$MXCLUSTER_XDATA/location" "$d/db" || exit 1
	echo "$MXCLUSTER_XDATA" >"$d/loaded"
}

start() {
	running && exit 0
	load
	cat >"$d/cfg" <<-END
		#!KAMAILIO
		children=2
		disable_tcp=yes
		listen=udp:$MXCLUSTER_ALIAS:5070
		loadmodule "ctl.so"
		loadmodule "db_text.so"
		loadmodule "sl.so"
		loadmodule "tm.so"
		loadmodule "pv.so"
		loadmodule "usrloc.so"
		loadmodule "registrar.so"
		modparam("ctl", "binrpc", "unix:$d/ctl")
		modparam("usrloc", "db_url", "text://$d/db")
		modparam("usrloc", "db_mode", 1)
		request_route {
			if (method == "REGISTER") { save("location"); exit; }
			if (\$rU == "lim") { sl_send_reply("200", "$MXCLUSTER_SERVER"); exit; }
			if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
			t_relay();
		}
	END
	kamailio -f "$d/cfg" -P "$d/pid" -Y "$d" -m 16 -M 4 >"$d/log" 2>&1 && exit 0
	tail -n 3 "$d/log"
	exit 1
}

stop() {
	running && kill "$pid"
	while running; do sleep 0.05; done
	rm -f "$d/pid"
}

case $1 in
start) start ;;
stop) stop ;;
status) running || exit 3 ;;
reload)
	# The active side has the registrations, and goes on with them.
	[ "$MXCLUSTER_ROLE" = passive ] || exit 0
	[ "$MXCLUSTER_XDATA" != "$(cat "$d/loaded")" ] || exit 0
	stop
	start
	;;
dump) kamcmd -s "unix:$d/ctl" db_text.dump ;;
*)
	echo "usage: ${0##*/} start|stop|status|reload|dump"
	exit 64
	;;
esac
