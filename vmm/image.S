/* SPDX-License-Identifier: GPL-2.0 */
/* The guest program as data of the VMM, see guest.lds. */
	.section .rodata
	.globl guest_image, guest_image_end
guest_image:
	.incbin GUEST_IMAGE
guest_image_end:
	.section .note.GNU-stack, "", @progbits
