/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's program as data of the VMM, see guest.lds. */
	.section .rodata
	.balign 4096
	.globl guest_image, guest_image_end
guest_image:
	.incbin GUEST_IMAGE
	.balign 4096
guest_image_end:
	.section .note.GNU-stack, "", @progbits
