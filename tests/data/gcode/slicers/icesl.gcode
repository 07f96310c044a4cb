; <IceSL 2.4.1>
; printer : Made One
; layer_count : 3
; print_height_mm : 0.7
; estimated_print_time_s : 3723
; z_layer_height_mm : 0.2
; z_layer_height_first_layer_mm : 0.3
; extruder_temp_degree_c_0 : 215
; bed_temp_degree_c : 60
; nozzle_diameter_mm_0 : 0.4
; filament_name : Made PLA
; filament_type : PLA
; filament_used_mm : 7.92
; filament_used_g : 4.5
M140 S60
M104 S150
G28
M190 S60
M109 S215
G90
M82
G92 E0
; <layer 0>
G1 Z0.30 F600
G0 X50 Y50 F6000
G1 X70 Y50 E0.66 F1800
G1 X70 Y70 E1.32 F1800
G1 X50 Y70 E1.98 F1800
G1 X50 Y50 E2.64 F1800
; <layer 1>
G1 Z0.50 F600
G0 X50 Y50 F6000
G1 X70 Y50 E3.30 F1800
G1 X70 Y70 E3.96 F1800
G1 X50 Y70 E4.62 F1800
G1 X50 Y50 E5.28 F1800
; <layer 2>
G1 Z0.70 F600
G0 X50 Y50 F6000
G1 X70 Y50 E5.94 F1800
G1 X70 Y70 E6.60 F1800
G1 X50 Y70 E7.26 F1800
G1 X50 Y50 E7.92 F1800
M104 S0
M140 S0
M84
