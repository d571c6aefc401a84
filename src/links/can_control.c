/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CAN interfaces: which there are, what their controllers say (libsocketcan), bringing them up. */
#include "config.h"

#include "links/can_control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <libsocketcan.h>

const char *can_interface_name(const char *name)
{
	return strncmp(name, CAN_PREFIX, strlen(CAN_PREFIX)) ? name : name + strlen(CAN_PREFIX);
}

/* ---- what the kernel says of any interface ---- */

/* 0 or -errno; the answer is in ifr. */
static int ask(const char *name, unsigned long question, struct ifreq *ifr)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any kind will do */

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	int error = ioctl(fd, question, ifr) < 0 ? -errno : 0;
	close(fd);
	return error;
}

static bool is_can(const char *name)
{
	struct ifreq ifr = {0};

	return !ask(name, SIOCGIFHWADDR, &ifr) && ifr.ifr_hwaddr.sa_family == ARPHRD_CAN;
}

bool can_interface_is_up(const char *name)
{
	struct ifreq ifr = {0};

	return !ask(name, SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & IFF_UP;
}

static int set_up(const char *name, bool up)
{
	struct ifreq ifr = {0};
	int error = ask(name, SIOCGIFFLAGS, &ifr);

	if (error)
		return error;
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	return ask(name, SIOCSIFFLAGS, &ifr);
}

unsigned can_interface_index(const char *name)
{
	return strlen(name) < IFNAMSIZ ? if_nametoindex(name) : 0;
}

/* ---- can it be used ---- */

static int refuse_absent(const char *name, char *why, size_t size)
{
	struct can_interface there[8];
	unsigned n = can_list(there, sizeof(there) / sizeof(there[0]));
	int at;

	if (strchr(name, '/') || !strncmp(name, "tty", 3)) {
		snprintf(why, size,
			 "%s is no CAN interface but looks like a serial port: leave \"" CAN_PREFIX "\" away", name);
		return -ENODEV;
	}
	at = snprintf(why, size, "there is no interface %s; ", name);
	if (!n) {
		snprintf(why + at, at < (int)size ? size - (size_t)at : 0,
			 "this machine has none for CAN now: is the adapter plugged in, its driver loaded?");
		return -ENODEV;
	}
	for (unsigned i = 0; i < n && at < (int)size; i++)
		at += snprintf(why + at, size - (size_t)at, "%s%s", i ? ", " : "for CAN this machine has ",
			       there[i].name);
	return -ENODEV;
}

/* The index of a CAN interface, or -errno. */
static int find(const char *name, char *why, size_t size)
{
	unsigned index = can_interface_index(name);

	if (!index)
		return refuse_absent(name, why, size);
	if (is_can(name))
		return (int)index;
	snprintf(why, size, "%s is a network interface, but not one for CAN", name);
	return -EINVAL;
}

int can_interface_ready(const char *name, char *why, size_t size)
{
	int index = find(name, why, size);

	if (index < 0 || can_interface_is_up(name))
		return index;
	struct can_controller controller;
	can_controller_read(name, &controller);
	if (controller.state == CAN_BUS_UNKNOWN)
		snprintf(why, size, "%s is down: `ip link set %s up`, or start bmscope with --can-up", name, name);
	else
		snprintf(why, size,
			 "%s is down: `ip link set %s up type can bitrate %u`, or start bmscope with --can-up", name,
			 name, controller.bitrate ? controller.bitrate : 250000);
	return -ENETDOWN;
}

/* ---- libsocketcan ---- */

/* The library writes every failure to the standard error, where a screen may be. */
struct hush {
	int kept;
};

static struct hush hush(void)
{
	struct hush h = {fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	/* Without standard error, null may have become it: that is as good. */
	if (null >= 0 && null != STDERR_FILENO) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
	return h;
}

static void unhush(struct hush h)
{
	if (h.kept < 0) {
		close(STDERR_FILENO);
		return;
	}
	dup2(h.kept, STDERR_FILENO);
	close(h.kept);
}

static enum can_bus_state bus_state(int state)
{
	switch (state) {
	case CAN_STATE_ERROR_ACTIVE:
		return CAN_BUS_ACTIVE;
	case CAN_STATE_ERROR_WARNING:
		return CAN_BUS_WARNING;
	case CAN_STATE_ERROR_PASSIVE:
		return CAN_BUS_PASSIVE;
	case CAN_STATE_BUS_OFF:
		return CAN_BUS_OFF;
	default:
		return CAN_BUS_STOPPED;
	}
}

const char *can_bus_state_text(enum can_bus_state state)
{
	static const char *const texts[] = {"unknown",	     "error-active", "error-warning",
					    "error-passive", "bus-off",	     "stopped"};

	return texts[state];
}

static void read_controller(const char *name, struct can_controller *out)
{
	struct can_bittiming timing;
	struct can_berr_counter errors;
	struct can_ctrlmode mode;
	int state;

	/* What has no state has nothing else. */
	if (can_get_state(name, &state))
		return;
	out->state = bus_state(state);
	if (!can_get_bittiming(name, &timing))
		out->bitrate = timing.bitrate;
	if (!can_get_ctrlmode(name, &mode))
		out->listen_only = mode.flags & CAN_CTRLMODE_LISTENONLY;
	if (can_get_restart_ms(name, &out->restart_ms))
		out->restart_ms = 0;
	if (!can_get_berr_counter(name, &errors)) {
		out->has_errors = true;
		out->tx_errors = errors.txerr;
		out->rx_errors = errors.rxerr;
	}
}

void can_controller_read(const char *name, struct can_controller *out)
{
	struct hush h = hush();

	*out = (struct can_controller){.state = CAN_BUS_UNKNOWN};
	read_controller(name, out);
	unhush(h);
}

bool can_controller_restart(const char *name)
{
	struct hush h = hush();
	bool done = !can_do_restart(name);

	unhush(h);
	return done;
}

bool can_traffic_read(const char *name, struct can_traffic *out)
{
	struct rtnl_link_stats64 stats;
	struct hush h = hush();
	bool done = !can_get_link_stats(name, &stats);

	unhush(h);
	if (done)
		*out = (struct can_traffic){stats.rx_packets, stats.rx_packets + stats.tx_packets,
					    stats.rx_bytes + stats.tx_bytes};
	return done;
}

/* ---- bringing up ---- */

bool can_rate_is(uint32_t bitrate, uint32_t wanted)
{
	uint32_t off = bitrate > wanted ? bitrate - wanted : wanted - bitrate;

	return off <= wanted / 100;
}

/* Who only listens shall hear of every error that the driver can tell of. Both are wishes. */
static void set_listen_only(const char *name, bool on)
{
	const uint32_t listen = CAN_CTRLMODE_LISTENONLY, tell = CAN_CTRLMODE_BERR_REPORTING;
	struct can_ctrlmode both = {listen | tell, on ? listen | tell : 0}, alone = {listen, on ? listen : 0};

	if (can_set_ctrlmode(name, &both))
		can_set_ctrlmode(name, &alone);
}

/* False: the driver does not take this bit rate. */
static bool set_bitrate(const char *name, uint32_t bitrate, const struct can_controller *now, bool listen_only)
{
	struct hush h = hush();
	bool done = can_rate_is(now->bitrate, bitrate) || !can_set_bitrate(name, bitrate);

	if (done && now->listen_only != listen_only)
		set_listen_only(name, listen_only);
	unhush(h);
	return done;
}

static int refuse_up(const char *name, int error, char *why, size_t size)
{
	if (error == -EPERM)
		snprintf(why, size, "no permission to bring up %s: start bmscope as root or with CAP_NET_ADMIN", name);
	else
		snprintf(why, size, "%s cannot be brought up: %s", name, strerror(-error));
	return error;
}

/* Is there anything to set before it is up as wanted? Who works at this rate is not made a listener. */
static bool differs(const struct can_controller *now, uint32_t bitrate, bool listen_only, bool up)
{
	if (!bitrate || now->state == CAN_BUS_UNKNOWN)
		return false;
	return !can_rate_is(now->bitrate, bitrate) || (now->listen_only != listen_only && !(up && listen_only));
}

int can_up(const char *name, uint32_t bitrate, bool listen_only, char *why, size_t size)
{
	struct can_controller now;
	int error;

	name = can_interface_name(name);
	error = find(name, why, size);
	if (error < 0)
		return error;
	can_controller_read(name, &now);
	if (now.state != CAN_BUS_UNKNOWN && !now.bitrate && !bitrate) {
		snprintf(why, size, "%s has no bit rate yet: say which, usual are 250000 and 500000", name);
		return -EINVAL;
	}
	bool up = can_interface_is_up(name), set = differs(&now, bitrate, listen_only, up);
	if (up && !set)
		return 0;
	error = set ? set_up(name, false) : 0;
	if (error)
		return refuse_up(name, error, why, size);
	if (set && !set_bitrate(name, bitrate, &now, listen_only)) {
		snprintf(why, size, "%s does not take a bit rate of %u", name, bitrate);
		if (up)
			set_up(name, true);
		return -EOPNOTSUPP;
	}
	error = set_up(name, true);
	return error ? refuse_up(name, error, why, size) : 0;
}

/* ---- listing ---- */

/* What an adapter says of itself may be anything. */
static void copy_line(const char *path, char *out, size_t size)
{
	char line[CAN_DESCRIPTION_SIZE];
	FILE *f = fopen(path, "re");

	out[0] = 0;
	if (!f)
		return;
	if (fgets(line, sizeof(line), f))
		bytes_text((struct bytes){(const uint8_t *)line, strcspn(line, "\n")}, out, size);
	fclose(f);
}

/* "candleLight USB to CAN adapter (gs_usb)", "mcp251x", "vcan". */
static void describe(const char *name, char *out, size_t size)
{
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ifr = {.ifr_data = (char *)&driver};
	char path[64], product[CAN_DESCRIPTION_SIZE / 2], by[sizeof(driver.driver) + 1];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/../product", name);
	copy_line(path, product, sizeof(product));
	if (ask(name, SIOCETHTOOL, &ifr))
		driver.driver[0] = 0;
	bytes_text((struct bytes){(const uint8_t *)driver.driver, strnlen(driver.driver, sizeof(driver.driver))}, by,
		   sizeof(by));
	snprintf(out, size, product[0] && by[0] ? "%s (%s)" : "%s%s", product, by);
}

/* can2 before can10. */
static int by_name(const void *a, const void *b)
{
	return strverscmp(((const struct if_nameindex *)a)->if_name, ((const struct if_nameindex *)b)->if_name);
}

unsigned can_list(struct can_interface *out, unsigned max)
{
	struct if_nameindex *all = if_nameindex();
	unsigned total = 0, n = 0;

	if (!all)
		return 0;
	while (all[total].if_index)
		total++;
	qsort(all, total, sizeof(*all), by_name);
	for (unsigned i = 0; i < total && n < max; i++) {
		if (!is_can(all[i].if_name))
			continue;
		snprintf(out[n].name, sizeof(out[n].name), "%s", all[i].if_name);
		describe(out[n].name, out[n].description, sizeof(out[n].description));
		out[n].up = can_interface_is_up(out[n].name);
		n++;
	}
	if_freenameindex(all);
	return n;
}
