#include "textflag.h"

// Offsets in the block, see type block.
#define BLOCK_PATH   0
#define BLOCK_ARGV   8
#define BLOCK_ENVP   16
#define BLOCK_DIR    24
#define BLOCK_FILES  32
#define BLOCK_NFILES 40
#define BLOCK_GATE   48
#define BLOCK_MASK   56
#define BLOCK_BYTE   64
#define BLOCK_STEP   72
#define BLOCK_ERRNO  80
#define BLOCK_GROUP  88
#define BLOCK_CLONE  96

#define SYS_read           0
#define SYS_write          1
#define SYS_rt_sigprocmask 14
#define SYS_execve         59
#define SYS_chdir          80
#define SYS_setsid         112
#define SYS_exit_group     231
#define SYS_dup3           292
#define SYS_clone3         435
#define SYS_close_range    436

#define O_CLOEXEC   0x80000
#define SIG_SETMASK 2
#define EINTR       4

// func clone3(b *block) (r uintptr)
//
// The parent returns with what clone3 answered. The child begins after the
// SYSCALL with the registers of its parent and a stack of its own, which it
// does not use: it calls nothing, and never returns. R12 is the block, R13 the
// number of files, R14 a counter.
TEXT ·clone3(SB), NOSPLIT|NOFRAME, $0-16
	MOVQ b+0(FP), R12
	LEAQ BLOCK_CLONE(R12), DI
	MOVQ $88, SI                // its size
	MOVQ $SYS_clone3, AX
	SYSCALL
	TESTQ AX, AX
	JZ   child
	MOVQ AX, r+8(FP)
	RET

child:
	MOVQ $SYS_setsid, AX        // a new process leads no group: this cannot fail
	SYSCALL

	MOVQ BLOCK_NFILES(R12), R13
	XORQ R14, R14
files:
	CMPQ R14, R13
	JGE  gate
	MOVQ BLOCK_FILES(R12), DI
	MOVQ (DI)(R14*8), DI
	MOVQ R14, SI
	XORQ DX, DX
	MOVQ $SYS_dup3, AX
	SYSCALL
	TESTQ AX, AX
	JLT  failFiles
	INCQ R14
	JMP  files

gate:
	MOVQ BLOCK_GATE(R12), DI    // the gate comes after the files, and goes with exec
	MOVQ R13, SI
	MOVQ $O_CLOEXEC, DX
	MOVQ $SYS_dup3, AX
	SYSCALL
	TESTQ AX, AX
	JLT  die                    // there is nothing to report on
	MOVQ R13, BLOCK_GATE(R12)
	LEAQ 1(R13), DI
	MOVL $0xffffffff, SI
	XORQ DX, DX
	MOVQ $SYS_close_range, AX
	SYSCALL
	TESTQ AX, AX
	JLT  failFiles

	MOVQ BLOCK_DIR(R12), DI
	TESTQ DI, DI
	JZ   mask
	MOVQ $SYS_chdir, AX
	SYSCALL
	TESTQ AX, AX
	JLT  failDir

mask:
	MOVQ $SIG_SETMASK, DI
	LEAQ BLOCK_MASK(R12), SI
	XORQ DX, DX
	MOVQ $8, R10
	MOVQ $SYS_rt_sigprocmask, AX
	SYSCALL

wait:
	MOVQ R13, DI
	LEAQ BLOCK_BYTE(R12), SI
	MOVQ $1, DX
	MOVQ $SYS_read, AX
	SYSCALL
	CMPQ AX, $-EINTR
	JEQ  wait
	CMPQ AX, $1
	JEQ  exec
	TESTQ AX, AX
	JNZ  die
	MOVQ BLOCK_GROUP(R12), DI   // end of file: the parent is gone or does not want it,
	TESTQ DI, DI
	JZ   die
	MOVL (DI), AX
	TESTL AX, AX
	JZ   die                    // or has opened all gates of the group

exec:
	MOVQ BLOCK_PATH(R12), DI
	MOVQ BLOCK_ARGV(R12), SI
	MOVQ BLOCK_ENVP(R12), DX
	MOVQ $SYS_execve, AX
	SYSCALL
	MOVQ $3, R14                // StepExec
	JMP  report

failFiles:
	MOVQ $1, R14                // StepFiles
	JMP  report

failDir:
	MOVQ $2, R14                // StepDir

report:
	NEGQ AX
	MOVQ AX, BLOCK_ERRNO(R12)
	MOVQ R14, BLOCK_STEP(R12)
	MOVQ BLOCK_GATE(R12), DI
	LEAQ BLOCK_STEP(R12), SI
	MOVQ $16, DX
	MOVQ $SYS_write, AX
	SYSCALL

die:
	MOVQ $127, DI
	MOVQ $SYS_exit_group, AX
	SYSCALL
	JMP  die
