/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The lock files by which serial programs on Debian keep out of each other's way: LCK..NAME in
 * /run/lock, with the owner's pid in ten characters.
 */
#ifndef LINKS_SERIAL_LOCK_H
#define LINKS_SERIAL_LOCK_H

#include <stddef.h>

#define SERIAL_LOCK_DIR	 "/run/lock"
#define SERIAL_LOCK_PATH 160

/*
 * Makes the lock file of device (resolved: no symbolic link) in dir. The caller holds the device by flock
 * already, so that a file with our own pid is a leftover. 0: lock is the file's name, or "" where none
 * can be made (dir is not there or not ours to write in). -EBUSY: a living program has it, *holder is
 * its pid, 0 when the file does not tell. Files of dead programs, and ten seconds old ones without a pid,
 * are taken over.
 */
int serial_lock_take(const char *dir, const char *device, char lock[SERIAL_LOCK_PATH], long *holder);

/* Removes the lock file if it is still ours. "" does nothing. */
void serial_lock_drop(const char *lock);

/* Who has device in dir by a lock file; 0: nobody that lives, or not told. */
long serial_lock_holder(const char *dir, const char *device);

#endif
