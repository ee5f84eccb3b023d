# Called by tools/bench with data and out set: the charts that the README shows.
set terminal svg size 720,400 font "sans,12" background "white"
set grid

set output out."/attributes.svg"
set title "KVM\\_SET\\_MEMORY\\_ATTRIBUTES, a range that has none yet"
set logscale xy
set xlabel "GiB"
set ylabel "seconds"
set key left top
plot data.".attributes" using 1:3 with linespoints lw 2 title "6.12", \
     data.".attributes" using 1:2 with linespoints lw 2 title "6.1 with the series"

reset
set output out."/ratios.svg"
set title "Time, as a part of what 6.12 takes"
set grid y
set style fill solid 0.7
set boxwidth 0.6
set logscale y
set xtics rotate by -30 font ",10"
unset key
set rmargin 16
plot data.".ratios" using 0:2:xtic(1) with boxes, 1 with lines lw 2
