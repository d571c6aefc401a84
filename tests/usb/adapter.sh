# SPDX-License-Identifier: GPL-3.0-or-later
# USB serial adapters (CDC-ACM) that are plugged in and out: the kernel is device and host at once (dummy_hcd,
# usb_f_acm, cdc_acm). Sourced inside the virtual machine. This side of an adapter is /dev/ttyACMn, its far side
# /dev/ttyGSn, behind which a simulated battery is put.
gadgets=/sys/kernel/config/usb_gadget
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config

# adapter NAME SERIAL: makes one, not yet plugged in; FTDI's numbers.
adapter() {
  local at=$gadgets/$1
  mkdir -p "$at/strings/0x409" "$at/configs/c.1" "$at/functions/acm.$1" || return
  echo 0x0403 >"$at/idVendor"
  echo 0x6001 >"$at/idProduct"
  echo "$2" >"$at/strings/0x409/serialnumber"
  echo bmscope >"$at/strings/0x409/manufacturer"
  echo "RS485 adapter" >"$at/strings/0x409/product"
  ln -s "$at/functions/acm.$1" "$at/configs/c.1/"
}

far_side() { echo "/dev/ttyGS$(cat "$gadgets/$1/functions/acm.$1/port_num")"; }

# plug NAME: into the first socket that is free.
plug() {
  local socket
  for socket in /sys/class/udc/*; do
    grep -qs "^${socket##*/}$" "$gadgets"/*/UDC && continue
    echo "${socket##*/}" >"$gadgets/$1/UDC"
    return
  done
  return 1
}

unplug() { echo >"$gadgets/$1/UDC"; }

# Whatever comes on one side goes out on the other, again after each unplugging.
join() {
  while [ -e "$1" ]; do
    socat "FILE:$1,raw,echo=0" "FILE:$2,raw,echo=0,clocal=1"
    sleep 0.1
  done >/dev/null 2>>"$work/join.log"
}

# attach NAME PORT: the battery on PORT (of bmscope-sim) hangs on the adapter's far side.
attach() {
  join "$2" "$(far_side "$1")" &
  children+=($!)
}
